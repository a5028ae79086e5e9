"""Synapse's own rules and state resolution, asked by lines of JSON.

It runs in Synapse's virtual environment: a line of standard input is a room, a line of
standard output what Synapse says of it. `tests/support/room_questions.py` has the
form of both.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Collection, Generator
from typing import Any, cast

from synapse.api.errors import AuthError, SynapseError
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS, RoomVersion
from synapse.event_auth import (
    auth_types_for_event,
    check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
)
from synapse.events import EventBase, make_event_from_dict
from synapse.state import CREATE_KEY, v1, v2
from synapse.storage.databases.main.event_federation import StateDifference

_State = dict[tuple[str, str], str]

_MAX_DEPTH = 12  # Synapse's own walk over unpersisted events visits each path


def _done(work: Awaitable[Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    steps = cast("Generator[None, None, Any]", work.__await__())
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise RuntimeError("Synapse waits for something")


class _Clock:
    async def sleep(self, duration: object) -> None:
        """Do not wait."""


class _Store:
    """What Synapse's database would know of the room."""

    def __init__(self, events: dict[str, EventBase], *, unpersisted: bool) -> None:
        self.events = events
        self.unpersisted = unpersisted

    async def get_events(
        self, event_ids: Collection[str], *_: object, **__: object
    ) -> dict[str, EventBase]:
        return {each: self.events[each] for each in event_ids if each in self.events}

    async def get_auth_chain_difference(
        self,
        room_id: str,
        state_sets: list[set[str]],
        conflicted: set[str] | None,
        additional: set[str] | None,
    ) -> StateDifference:
        if self.unpersisted:
            return StateDifference(set(), None if conflicted is None else set())
        chains = [self._reached(each) for each in state_sets]
        difference = set().union(*chains) - set(chains[0]).intersection(*chains[1:])
        if conflicted is None:
            return StateDifference(difference, None)
        below = {each: self._reached({each}) for each in self._reached(conflicted)}
        subgraph = {each for each, chain in below.items() if chain & conflicted}
        return StateDifference(difference, subgraph)

    def _reached(self, event_ids: Collection[str]) -> set[str]:
        reached = set(event_ids)
        waiting = list(reached)
        while waiting:
            cited = set(self.events[waiting.pop()].auth_event_ids()) - reached
            reached |= cited
            waiting += cited
        return reached


class _Room:
    def __init__(self, room: dict[str, Any]) -> None:
        self.version: RoomVersion = KNOWN_ROOM_VERSIONS[room["room_version"]]
        rejected = set(room["rejected"])
        self.events = [
            make_event_from_dict(
                pdu, self.version, rejected_reason="rule" if n in rejected else None
            )
            for n, pdu in enumerate(room["pdus"])
        ]
        self.by_id = {event.event_id: event for event in self.events}
        self.numbers = {event.event_id: n for n, event in enumerate(self.events)}
        self.states = room["states"]
        self.room_id = self.events[0].room_id
        self.store = _Store(self.by_id, unpersisted=self._depth() <= _MAX_DEPTH)

    def _depth(self) -> int:
        """The length of the longest path of auth events."""
        depths: dict[str, int] = {}
        for event in self.events:
            cited = [depths[each] for each in event.auth_event_ids()]
            depths[event.event_id] = 1 + max(cited, default=0)
        return max(depths.values())

    def verdict(self, number: int, state: int) -> list[str | None]:
        """Why not: independent of state, by its auth events, by the state before it."""
        event = self.events[number]
        own = [self.by_id[each] for each in event.auth_event_ids()]
        return [
            _why(lambda: _done(check_state_independent_auth_rules(self.store, event))),
            _why(lambda: check_state_dependent_auth_rules(event, own)),
            _why(lambda: self._check(event, self.states[state])),
        ]

    def _check(self, event: EventBase, state: list[int]) -> None:
        """Of the state, Synapse looks at what the selection of auth events names."""
        keys = {CREATE_KEY, *auth_types_for_event(self.version, event)}
        in_state = (self.events[each] for each in state)
        before = [each for each in in_state if (each.type, each.state_key) in keys]
        check_state_dependent_auth_rules(event, before)

    def resolve(self, numbers: list[int]) -> list[int]:
        """What states resolve to, as the sorted numbers of its events."""
        sets = [self._state(self.states[number]) for number in numbers]
        if self.version.state_res == 1:
            resolved = _done(
                v1.resolve_events_with_store(
                    self.room_id, self.version, sets, None, self.store.get_events
                )
            )
        else:
            known = dict(self.by_id) if self.store.unpersisted else None
            resolved = _done(
                v2.resolve_events_with_store(
                    _Clock(), self.room_id, self.version, sets, known, self.store
                )
            )
        return sorted(self.numbers[each] for each in resolved.values())

    def _state(self, numbers: list[int]) -> _State:
        events = [self.events[number] for number in numbers]
        return {(each.type, each.state_key): each.event_id for each in events}


def _why(check: Any) -> str | None:
    try:
        check()
    except (AuthError, SynapseError) as problem:
        return str(problem)
    except Exception as problem:  # noqa: BLE001 - a crash of Synapse is a finding
        return f"crash: {problem!r}"
    return None


def _or_why(resolve: Callable[[list[int]], list[int]], merge: list[int]) -> object:
    try:
        return resolve(merge)
    except Exception as problem:  # noqa: BLE001 - as above
        return f"crash: {problem!r}"


def _answer(room: dict[str, Any]) -> dict[str, Any]:
    known = _Room(room)
    return {
        "ids": [event.event_id for event in known.events],
        "verdicts": [known.verdict(*check) for check in room["checks"]],
        "merges": [_or_why(known.resolve, merge) for merge in room["merges"]],
    }


def main() -> None:
    """Answer each line."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

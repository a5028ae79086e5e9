"""What another implementation is asked of a random room, and where it differs.

The question is `{room_version, pdus, rejected, states, checks, merges}`: the PDUs in
the order of their making, the numbers of those that our rules reject, states as lists
of numbers, a check `[event, state before it]` for each event, and for each merge the
states that meet. The answer is `{ids, verdicts, merges}`: event IDs, for each check why
not by the state-independent rules, by the event's auth events, and by the state before
it, and the resolved state of each merge.
"""

from dataclasses import dataclass
from typing import Any

from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.authorization import (
    NotAllowed,
    check_state_dependent,
    check_state_independent,
)
from homeserver.protocol.rooms.state import StateMap
from tests.protocol.rooms.random_rooms import RandomRoom

Answer = dict[str, Any]

CRASH = "crash: "
"""What a reason or a state begins with where the other implementation failed."""

CHECKS = ("state-independent rules", "rules by auth events", "rules by state before")


@dataclass(frozen=True)
class Difference:
    """One thing that two implementations see differently."""

    what: str
    room_version: str
    event_id: str
    """The event in question; empty for a merge."""

    ours: str
    theirs: str

    @property
    def is_crash(self) -> bool:
        """Whether the other one gave no verdict: it failed on something malformed."""
        return self.theirs.startswith(CRASH)


def question(room: RandomRoom) -> Answer:
    """What is asked of a room."""
    numbers = {event_id: number for number, event_id in enumerate(room.events)}
    states: dict[tuple[int, ...], int] = {}

    def number_of(state: StateMap) -> int:
        events = tuple(sorted(numbers[event.event_id] for event in state.values()))
        return states.setdefault(events, len(states))

    checks = [[numbers[each], number_of(room.before[each])] for each in room.events]
    merges = [[number_of(state) for state in each.states] for each in room.merges]
    return {
        "room_version": room.version.version,
        "pdus": [event.pdu for event in room.events.values()],
        "rejected": sorted(numbers[each] for each in room.rejected),
        "checks": checks,
        "merges": merges,
        "states": list(states),
    }


def our_answer(room: RandomRoom) -> Answer:
    """What we say of it."""
    numbers = {event_id: number for number, event_id in enumerate(room.events)}
    return {
        "ids": list(room.events),
        "verdicts": [_verdict(room, event_id) for event_id in room.events],
        "merges": [
            sorted(numbers[event.event_id] for event in merge.resolved.values())
            for merge in room.merges
        ],
    }


def _verdict(room: RandomRoom, event_id: EventId) -> list[str | None]:
    event = room.events[event_id]
    switches = room.graph.switches

    def by_state(state: StateMap) -> None:
        check_state_dependent(event, state, switches)

    reasons: list[str | None] = []
    for check in (
        lambda: check_state_independent(event, room.cited(event), switches),
        lambda: by_state(room.graph.auth_state(event)),
        lambda: by_state(room.before[event_id]),
    ):
        try:
            check()
        except NotAllowed as problem:
            reasons.append(str(problem))
        else:
            reasons.append(None)
    return reasons


def differences(room: RandomRoom, theirs: Answer) -> list[Difference]:
    """Where an answer differs from ours."""
    ours = our_answer(room)
    version = room.version.version
    found = [
        Difference("event ID", version, one, one, other)
        for one, other in zip(ours["ids"], theirs["ids"], strict=True)
        if one != other
    ]
    for event_id, *verdicts in zip(
        ours["ids"], ours["verdicts"], theirs["verdicts"], strict=True
    ):
        found += _of_verdicts(version, event_id, *verdicts)
    found += [
        Difference("state", version, "", str(one), str(other))
        for one, other in zip(ours["merges"], theirs["merges"], strict=True)
        if one != other
    ]
    return found


def _of_verdicts(
    version: str, event_id: str, ours: list[str | None], theirs: list[str | None]
) -> list[Difference]:
    """Of the first check that rejects the event for one of both."""
    for what, own, foreign in zip(CHECKS, ours, theirs, strict=True):
        if (own is None) != (foreign is None):
            reasons = own or "allowed", foreign or "allowed"
            return [Difference(what, version, event_id, *reasons)]
        if own is not None:
            break  # both reject it: what the later checks say makes no difference
    return []

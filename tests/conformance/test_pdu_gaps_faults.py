"""P: each check of gaps, keys and branches has a fault that turns it red."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from homeserver.conformance.fates import STRICT
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.key_documents import KeyDocument, OldVerifyKey, parse_v2
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.orderings import order_by_mainline
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.rooms.state_resolution import resolution
from homeserver.rooms.entry import Entry
from homeserver.rooms.missing import Missing
from homeserver.rooms.receiving import _take
from homeserver.rooms.source import Source, StateIds
from homeserver.rooms.turn import Turn
from tests.conformance.faulty import Row, patched
from tests.conformance.pdu_target import of, pdu_fault_test
from tests.support.conformance_stage import Fault

_missing_events = Source.missing_events

_SOURCE = "homeserver.rooms.source.Source."
_ENFORCES = "homeserver.protocol.events.room_versions.RoomVersion.enforces_key_validity"


async def _asks_nobody(*_: object, **__: object) -> None:
    pass


async def _forgets_the_answer(source: Source, *asked: Any) -> dict[EventId, Event]:
    await _missing_events(source, *asked)
    return {}


async def _asks_for_what_it_has(
    source: Source, earliest: Any, _: Any
) -> dict[EventId, Event]:
    return await _missing_events(source, earliest, list(earliest))


async def _asks_for_no_state(*_: object) -> StateIds:
    return StateIds((), ())


def _takes_what_it_could_not_fill() -> Fault:
    """An event is entered at the current state in the end, whatever it lacks."""
    tried: set[EventId] = set()

    async def take(turn: Turn, event: Event | None) -> Entry | Missing | None:
        entry = await _take(turn, event)
        if event is None or not isinstance(entry, Missing):
            return entry
        if event.event_id not in tried:
            tried.add(event.event_id)
            return entry
        return await turn.take(event, turn.room.current_number)

    return patched({"homeserver.rooms.receiving._take": take})


def _documents(change: Callable[[KeyDocument], KeyDocument]) -> Fault:
    """Key documents that are read as others."""

    def of_version_2(*arguments: Any) -> KeyDocument:
        return change(parse_v2(*arguments))

    return patched({"homeserver.outbound.client.parse_v2": of_version_2})


def _with_old_keys_for_long(document: KeyDocument) -> KeyDocument:
    old = {
        key_id: OldVerifyKey(each.verify_key, each.expired_ts + 1_000_000)
        for key_id, each in document.old_verify_keys.items()
    }
    return replace(document, old_verify_keys=old)


def _the_earliest_last(*arguments: Any) -> Generator[None, None, list[Event]]:
    ordered = yield from order_by_mainline(*arguments)
    return ordered[::-1]


def _the_other_hash(
    graph: AuthGraph, states: Sequence[StateMap]
) -> Generator[None, None, StateMap]:
    resolved = yield from resolution(graph, states)
    if graph.room_version.version != "1":
        return resolved
    found = dict(resolved)
    for state in states:
        found |= {k: e for k, e in state.items() if e is not resolved.get(k)}
    return found


ROWS: list[Row] = [
    (
        "asks nobody",
        patched(
            {
                "homeserver.rooms.gaps.Gaps.fill": _asks_nobody,
                # What never comes needs no long wait.
                "homeserver.conformance.checks.pdu_gaps._SECONDS": 5.0,
            }
        ),
        of("P23"),
    ),
    (
        "forgets the answer",
        patched({f"{_SOURCE}missing_events": _forgets_the_answer}),
        of("P40", "P42b"),
    ),
    (
        "asks for what it has",
        patched({f"{_SOURCE}missing_events": _asks_for_what_it_has}),
        of("P41"),
    ),
    ("takes it with a gap", _takes_what_it_could_not_fill(), of("P42a")),
    (
        "asks for no state",
        patched({f"{_SOURCE}state_ids": _asks_for_no_state}),
        of("P42b"),
    ),
    (
        "no key lasts in version 1",
        patched({_ENFORCES: True}),
        of("P37", versions=("1",)),
    ),
    (
        "keys last for ever",
        patched({_ENFORCES: False}),
        of("P37", versions=STRICT),
    ),
    ("old keys last", _documents(_with_old_keys_for_long), of("P39", versions=STRICT)),
    (
        "no old keys",
        _documents(lambda document: replace(document, old_verify_keys={})),
        of("P38"),
    ),
    (
        "the earliest of two",
        patched(
            {
                "homeserver.protocol.rooms.state_resolution.order_by_mainline": (
                    _the_earliest_last
                )
            }
        ),
        of("P43", versions=("6", "10", "11", "12")),
    ),
    (
        "the other one by its hash",
        patched({"homeserver.rooms.states.resolution": _the_other_hash}),
        {"P43b.v1"},
    ),
]

test_a_fault_turns_its_checks_red = pdu_fault_test(ROWS)

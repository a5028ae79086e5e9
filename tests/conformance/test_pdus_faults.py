"""P: each check of events that stand in a room has a fault that turns it red.

A fault meets what it turns red, and beside that the checks of room version 10 that are
in the same modules.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from homeserver.conformance.checks import (
    pdu_authorization,
    pdu_forms,
    pdu_gaps,
    pdu_resolution,
    pdu_signatures,
    pdu_transactions,
)
from homeserver.conformance.fates import STRICT, VERSIONS
from homeserver.conformance.registry import checks_in
from homeserver.inbound.version_attempt import VersionAttempt
from homeserver.protocol.canonical_json import Json, check_numbers
from homeserver.protocol.errors import Forbidden, ProtocolError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.event_form import _check_texts
from homeserver.protocol.rooms.authorization import (
    Allowed,
    NotAllowed,
    check_by_auth_events,
    check_state_dependent,
)
from homeserver.protocol.rooms.receipt import Outcome, Receipt, States, judge
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from homeserver.rooms.receiving import RoomReceiver
from homeserver.storage.judged_pdus import REJECTED, JudgedPdu
from tests.conformance.faulty import Row, changed_json, check_row, patched
from tests.support.conformance_stage import Fault, Stage
from tests.support.logged_errors import PlantedError

_check = RoomReceiver.check
_verify = VersionAttempt.verify

_SEND = "/_matrix/federation/v1/send/"
_RECEIPT = "homeserver.protocol.rooms.receipt."
_EVENT = "homeserver.protocol.events.event."
_FORM = "homeserver.protocol.events.event_form."


def of(*numbers: str, versions: tuple[str, ...] = VERSIONS) -> set[str]:
    """The IDs of checks, of each version."""
    return {f"{number}.v{version}" for number in numbers for version in versions}


Meant = Callable[[Event, NotAllowed], bool]
"""Whether a fault overlooks that an event is not allowed."""


def _allows(is_meant: Meant) -> dict[str, object]:
    """Replacements that allow some events."""

    def overlook(event: Event, check: Callable[[], Allowed]) -> Allowed:
        try:
            return check()
        except NotAllowed as problem:
            if is_meant(event, problem):
                return Allowed("0", "overlooked")
            raise

    def by_auth_events(
        event: Event, cited: CitedEvents, switches: Switches = SWITCHES
    ) -> Allowed:
        return overlook(event, lambda: check_by_auth_events(event, cited, switches))

    def by_state(
        event: Event, state: StateMap, switches: Switches = SWITCHES
    ) -> Allowed:
        return overlook(event, lambda: check_state_dependent(event, state, switches))

    return {
        f"{_RECEIPT}check_by_auth_events": by_auth_events,
        f"{_RECEIPT}check_state_dependent": by_state,
    }


def _says(text: str) -> Meant:
    return lambda _, problem: text in problem.why


def _is(kind: str) -> Meant:
    return lambda event, _: event.type == kind


def _overlooks(is_meant: Meant) -> Fault:
    return patched(_allows(is_meant))


def _refuses(is_meant: Callable[[Event], bool]) -> Fault:
    """Events that are not allowed although they should be."""

    def by_auth_events(
        event: Event, cited: CitedEvents, switches: Switches = SWITCHES
    ) -> Allowed:
        if is_meant(event):
            raise NotAllowed("0", "wrongly")
        return check_by_auth_events(event, cited, switches)

    return patched({f"{_RECEIPT}check_by_auth_events": by_auth_events})


def _judges_by_the_state_before(
    event: Event, cited: CitedEvents, states: States, switches: Switches
) -> Receipt:
    current = states.current if states.before is None else states.before
    return judge(event, cited, States(states.before, current), switches)


def _begins_again(
    event: Event, cited: CitedEvents, states: States, switches: Switches
) -> Receipt:
    if event.type == "m.room.create":
        return Receipt(Outcome.ACCEPTED, 6, Allowed("0", "overlooked"))
    return judge(event, cited, states, switches)


def _receives(look: Callable[[list[Json]], object]) -> Fault:
    """A look at the PDUs of each transaction, before it is gone through."""

    async def check(receiver: RoomReceiver, pdus: Any, *more: Any) -> list[JudgedPdu]:
        look(list(pdus))
        return await _check(receiver, pdus, *more)

    return patched({"homeserver.rooms.receiving.RoomReceiver.check": check})


def _breaks(is_meant: Callable[[Json], bool]) -> Fault:
    def look(pdus: list[Json]) -> None:
        if any(map(is_meant, pdus)):
            raise PlantedError("broken")

    return _receives(look)


def _changes(change: Callable[[list[JudgedPdu], str], list[JudgedPdu]]) -> Fault:
    """Other verdicts on the PDUs of an origin."""

    async def check(
        receiver: RoomReceiver, pdus: Any, origin: Any, cause: Any
    ) -> list[JudgedPdu]:
        return change(await _check(receiver, pdus, origin, cause), origin.name)

    return patched({"homeserver.rooms.receiving.RoomReceiver.check": check})


def _rejects_known() -> Fault:
    known: set[str] = set()

    def change(judged: list[JudgedPdu], _: str) -> list[JudgedPdu]:
        found = [
            replace(each, verdict=f"{REJECTED}: it is known")
            if each.event_id in known
            else each
            for each in judged
        ]
        known.update(each.event_id for each in judged if each.event_id)
        return found

    return _changes(change)


def _all_or_nothing() -> Fault:
    """A transaction that is refused for each event without a signature."""

    def look(pdus: list[Json]) -> None:
        if len(pdus) > 1 and any(each["signatures"] == {} for each in pdus):
            raise Forbidden("an event is not signed")

    return _receives(look)


def _own_events_alone() -> Fault:
    def sender_of(pdu: Json) -> str:
        return str(pdu.get("sender", "")).partition(":")[2]

    async def check(
        receiver: RoomReceiver, pdus: Any, origin: Any, cause: Any
    ) -> list[JudgedPdu]:
        changed = [
            each if sender_of(each) in {origin.name, ""} else {**each, "hashes": 5}
            for each in pdus
        ]
        return await _check(receiver, changed, origin, cause)

    return patched({"homeserver.rooms.receiving.RoomReceiver.check": check})


def _accepts_signatures(is_meant: Callable[[VersionAttempt], bool]) -> Fault:
    """Events whose signatures are not looked at."""

    def verify(attempt: VersionAttempt) -> Iterator[None]:
        return iter(()) if is_meant(attempt) else _verify(attempt)

    return patched({"homeserver.inbound.version_attempt.VersionAttempt.verify": verify})


def _has_a_signature(attempt: VersionAttempt) -> bool:
    return all(attempt.signatures.values())


def _has_none(attempt: VersionAttempt) -> bool:
    return not attempt.event.pdu["signatures"]


def _has_one_of_another(attempt: VersionAttempt) -> bool:
    return bool(attempt.event.pdu["signatures"]) and not _has_a_signature(attempt)


def _integers_of_any_size(value: object) -> None:
    try:
        check_numbers(value)
    except ProtocolError as problem:
        if "2^53" not in str(problem):
            raise


def _floats(value: object) -> None:
    try:
        check_numbers(value)
    except ProtocolError as problem:
        if "2^53" in str(problem):
            raise


def _without_length_of(member: str) -> Callable[[Json], None]:
    return lambda pdu: _check_texts({k: v for k, v in pdu.items() if k != member})


def _ends_more(content: dict[str, Any]) -> dict[str, Any]:
    """A template whose event also comes after one that is no end."""
    event = content.get("event")
    if isinstance(event, dict):
        event["prev_events"].append(event["auth_events"][0])
    return content


def _refused(reply: dict[str, Any]) -> dict[str, Any]:
    return {"pdus": {key: {"error": "no"} for key in reply.get("pdus", {})}}


ROWS: list[Row] = [
    ("an error for each event", changed_json(_SEND, _refused), of("P01")),
    (
        "any signature",
        _accepts_signatures(_has_a_signature),
        of("P02") | of("P37", "P39", versions=STRICT),
    ),
    ("no signature", _accepts_signatures(_has_none), of("P03")),
    ("another's signature", _accepts_signatures(_has_one_of_another), of("P05")),
    (
        "any content",
        patched({f"{_EVENT}Event.content_hash_matches": True}),
        of("P04"),
    ),
    (
        "outsiders",
        _overlooks(lambda event, _: event.sender.user_id.startswith("@outsider")),
        of("P06"),
    ),
    ("any state", _overlooks(_is("org.example.state")), of("P07")),
    (
        "a second create event",
        patched({"homeserver.rooms.room.judge": _begins_again}),
        of("P16") - of("P16", versions=("12",)),
    ),
    ("auth events twice", _overlooks(_says("times in `auth_events`")), of("P19")),
    (
        "any auth event",
        _overlooks(lambda _, problem: "join_rules does not authorise" in problem.why),
        of("P20"),
    ),
    (
        "the create event as any other",
        _overlooks(lambda _, problem: "create does not authorise" in problem.why),
        of("P21", versions=("12",)),
    ),
    ("no new name", _refuses(lambda event: "displayname" in event.content), of("P24")),
    ("bans of anybody", _overlooks(_says("takes to ban")), of("P25")),
    ("power for anybody", _overlooks(_is("m.room.power_levels")), of("P26")),
    ("no redaction", _refuses(lambda e: e.type == "m.room.redaction"), of("P27")),
    (
        "no soft failure",
        patched({"homeserver.rooms.room.judge": _judges_by_the_state_before}),
        of("P35"),
    ),
    (
        "floats",
        patched({f"{_EVENT}check_numbers": _floats}),
        of("P08", versions=STRICT),
    ),
    (
        "large integers",
        patched({f"{_EVENT}check_numbers": _integers_of_any_size}),
        of("P09", versions=STRICT),
    ),
    ("any size", patched({f"{_EVENT}MAX_EVENT_BYTES": 10**6}), of("P10")),
    ("64,999 bytes", patched({f"{_EVENT}MAX_EVENT_BYTES": 64_999}), of("P11")),
    ("21 previous events", patched({f"{_FORM}MAX_PREV_EVENTS": 21}), of("P12")),
    (
        "11 auth events",
        patched(
            {
                f"{_FORM}MAX_AUTH_EVENTS": 11,
                **_allows(lambda event, _: len(event.auth_event_ids) > 10),
            }
        ),
        of("P13"),
    ),
    (
        "any type",
        patched({f"{_FORM}_check_texts": _without_length_of("type")}),
        of("P14"),
    ),
    (
        "any state key",
        patched(
            {
                f"{_FORM}_check_texts": _without_length_of("state_key"),
                **_allows(lambda event, _: len(event.state_key or "") > 255),
            }
        ),
        of("P15"),
    ),
    ("breaks on a content", _breaks(lambda p: p["content"] == "text"), of("P28")),
    ("breaks on a list", _breaks(lambda p: p["prev_events"] == "text"), of("P29")),
    ("breaks on a depth", _breaks(lambda p: p["depth"] == "5"), of("P30")),
    ("breaks without sender", _breaks(lambda p: "sender" not in p), of("P31")),
    ("all or nothing", _all_or_nothing(), of("P32")),
    ("known events refused", _rejects_known(), of("P33")),
    ("events of the origin alone", _own_events_alone(), of("P34")),
    (
        "more ends",
        changed_json("/_matrix/federation/v1/make_leave", _ends_more),
        of("P36"),
    ),
]


_MODULES = (
    pdu_authorization,
    pdu_forms,
    pdu_gaps,
    pdu_resolution,
    pdu_signatures,
    pdu_transactions,
)


def only(expected: set[str]) -> list[str]:
    """The checks that a fault meets."""
    found = set(expected)
    for module in _MODULES:
        ids = {each.id for each in checks_in(vars(module).values())}
        if ids & expected:
            found |= {each for each in ids if each.endswith(".v10")}
    return sorted(found)


@pytest.mark.parametrize(("name", "fault", "expected"), ROWS)
def test_a_fault_turns_its_checks_red(
    on_stage: Stage, name: str, fault: Fault, expected: set[str]
) -> None:
    """It turns them red, and no others that it meets."""
    check_row(on_stage, fault, expected, only(expected))

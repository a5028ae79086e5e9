"""P: each check of who may send an event has a fault that turns it red."""

from collections.abc import Callable

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.authorization import (
    Allowed,
    NotAllowed,
    check_by_auth_events,
)
from homeserver.protocol.rooms.receipt import Outcome, Receipt, States, judge
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from tests.conformance.faulty import Row, patched
from tests.conformance.pdu_target import Meant, allows, of, pdu_fault_test
from tests.support.conformance_stage import Fault

_RECEIPT = "homeserver.protocol.rooms.receipt."


def _says(text: str) -> Meant:
    return lambda _, problem: text in problem.why


def _is(kind: str) -> Meant:
    return lambda event, _: event.type == kind


def _overlooks(is_meant: Meant) -> Fault:
    return patched(allows(is_meant))


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


ROWS: list[Row] = [
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
]

test_a_fault_turns_its_checks_red = pdu_fault_test(ROWS)

"""What becomes of an event by its auth events, the state before it and the current."""

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.authorization import Allowed
from homeserver.protocol.rooms.receipt import (
    Outcome,
    Receipt,
    States,
    extremities_after,
    judge,
    state_after,
)
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.rooms.switches import Switches
from tests.protocol.rooms.room import ALICE, BOB, DAN, OLIVE, Room

VERSIONS = list(ROOM_VERSIONS)


def judged(room: Room, event: Event, before: StateMap | None) -> Receipt:
    """What becomes of an event where the room's state is the current one."""
    return judge(event, room.cited(event), States(before, room.state))


@pytest.mark.parametrize("version", VERSIONS)
def test_an_accepted_event(version: str) -> None:
    """All three allow it: it is cited and shown, and its state holds."""
    room = Room(version)
    event = room.make("m.room.topic", BOB, {}, "")
    receipt = judged(room, event, room.state)
    assert (receipt.outcome, receipt.check) == (Outcome.ACCEPTED, 6)
    assert isinstance(receipt.verdict, Allowed)
    outcome = receipt.outcome
    assert outcome.may_be_cited
    assert outcome.is_shown
    assert state_after(event, outcome, room.state)[("m.room.topic", "")] is event


def test_a_room_begins_once() -> None:
    """A second create event is rejected; the first one again is not."""
    room = Room("10")
    second = room.make(
        "m.room.create", ALICE, {"creator": ALICE}, "", auth=[], prev_events=[]
    )
    receipt = judged(room, second, {})
    assert (receipt.outcome, receipt.check) == (Outcome.REJECTED, 4)
    assert "the room has begun with" in str(receipt.verdict)
    again = judge(room.create, CitedEvents((), None), States({}, room.state))
    assert again.outcome is Outcome.ACCEPTED
    beginning = judge(room.create, CitedEvents((), None), States({}, {}))
    assert beginning.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("version", VERSIONS)
def test_an_event_that_its_auth_events_refuse(version: str) -> None:
    """It is rejected by check 4, whatever the states allow."""
    room = Room(version)
    event = room.make("m.room.message", OLIVE, {})
    room.member(OLIVE, "join")
    receipt = judged(room, event, room.state)
    assert (receipt.outcome, receipt.check) == (Outcome.REJECTED, 4)
    assert "not in the room" in str(receipt.verdict)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_event_that_the_state_before_refuses(version: str) -> None:
    """It is rejected by check 5, although auth events from before the ban allow it."""
    room = Room(version)
    event = room.make("m.room.topic", BOB, {}, "")
    banned = dict(Room(version).member(BOB, "ban", by=ALICE).state)
    receipt = judged(room, event, banned)
    assert (receipt.outcome, receipt.check) == (Outcome.REJECTED, 5)
    assert not receipt.outcome.may_be_cited
    assert not receipt.outcome.is_shown
    assert state_after(event, receipt.outcome, room.state) == room.state


@pytest.mark.parametrize("version", VERSIONS)
def test_an_event_that_the_current_state_refuses(version: str) -> None:
    """It is soft-failed by check 6: neither shown nor cited, but its state holds."""
    room = Room(version)
    event = room.make("m.room.topic", BOB, {}, "")
    before = dict(room.state)
    room.member(BOB, "ban", by=ALICE)
    receipt = judged(room, event, before)
    assert (receipt.outcome, receipt.check) == (Outcome.SOFT_FAILED, 6)
    assert not receipt.outcome.may_be_cited
    assert not receipt.outcome.is_shown
    assert state_after(event, receipt.outcome, before)[("m.room.topic", "")] is event


@pytest.mark.parametrize("version", VERSIONS)
def test_an_event_without_state(version: str) -> None:
    """It is an outlier if its auth events allow it, and sets no state."""
    room = Room(version)
    event = room.make("m.room.topic", BOB, {}, "")
    receipt = judged(room, event, None)
    assert (receipt.outcome, receipt.check) == (Outcome.OUTLIER, 4)
    assert not receipt.outcome.may_be_cited
    assert not receipt.outcome.is_shown
    assert not receipt.outcome.sets_state
    refused = room.make("m.room.topic", DAN, {}, "")
    assert judged(room, refused, None).outcome is Outcome.REJECTED


@pytest.mark.parametrize("version", VERSIONS)
def test_a_create_event(version: str) -> None:
    """It is accepted where there is no state yet."""
    room = Room(version)
    receipt = judge(room.create, room.cited(room.create), States({}, {}))
    assert receipt.outcome is Outcome.ACCEPTED


def test_a_message_sets_no_state() -> None:
    """The state after what is not a state event is the state before it."""
    room = Room("12")
    message = room.make("m.room.message", DAN, {})
    assert state_after(message, Outcome.ACCEPTED, room.state) is room.state


def test_each_check_goes_by_the_switches() -> None:
    """A switch that allows an event allows it in all three checks, or in none."""
    room = Room("12")
    event = room.membership(ALICE, "olive", "ban")
    allowing = Switches(member_keys_are_user_ids=False)
    states = States(room.state, room.state)
    assert judge(event, room.cited(event), states).check == 4
    receipt = judge(event, room.cited(event), states, allowing)
    assert receipt.outcome is Outcome.ACCEPTED


A, B, C, D = (EventId(f"${name}") for name in "abcd")


def after(outcome: Outcome, *prev: EventId) -> tuple[EventId, frozenset[EventId]]:
    """An event that cites these, and what the extremities a and b become by it."""
    room = Room("12")
    event = room.make("m.room.message", DAN, {}, prev_events=list(prev))
    passed_over = {C: [A, D], D: [C]}
    return event.event_id, extremities_after(event, outcome, [A, B], passed_over)


def test_an_accepted_event_is_the_new_extremity() -> None:
    """It stands for those that it cites."""
    event_id, found = after(Outcome.ACCEPTED, A)
    assert found == {B, event_id}
    event_id, found = after(Outcome.ACCEPTED, A, B)
    assert found == {event_id}


def test_an_accepted_event_reaches_through_what_was_passed_over() -> None:
    """What it cites by way of rejected and soft-failed events is continued too."""
    event_id, found = after(Outcome.ACCEPTED, C)
    assert found == {B, event_id}


def test_an_event_that_arrives_late_is_no_extremity() -> None:
    """What an accepted event cites already is not an end of the room."""
    event = Room("12").make("m.room.message", DAN, {}, prev_events=[A])
    found = extremities_after(event, Outcome.ACCEPTED, [A, B], {}, is_continued=True)
    assert found == {B}


@pytest.mark.parametrize(
    "outcome", [Outcome.SOFT_FAILED, Outcome.REJECTED, Outcome.OUTLIER]
)
def test_any_other_event_is_no_extremity(outcome: Outcome) -> None:
    """Nothing that our events may not cite takes the place of what they may."""
    assert after(outcome, A, B)[1] == {A, B}

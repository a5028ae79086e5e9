"""What is noted of a room's events decides whether an event is an end of it."""

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.rooms.ends import Ends
from homeserver.rooms.entry import Entry
from tests.protocol.rooms.made_rooms import ALICE, MadeRoom


def entry_of(event: Event, outcome: Outcome, after: int | None = 1) -> Entry:
    """What a room has of an event; `after` is the state after it, if that is known."""
    prev = event.prev_event_ids
    return Entry(
        event.event_id, 0, event.type, 1, 1, prev, outcome, 4, "1", "", after, after
    )


@pytest.mark.parametrize(
    ("outcome", "is_end"),
    [(Outcome.ACCEPTED, False), (Outcome.SOFT_FAILED, True), (Outcome.REJECTED, True)],
)
def test_an_event_that_comes_after_one_that_cites_it(
    outcome: Outcome, *, is_end: bool
) -> None:
    """It is no end, unless what cites it may not be cited itself."""
    made = MadeRoom("10")
    late = made.send("m.room.message", ALICE, {}, None, cites=[made.join])
    child = made.send("m.room.message", ALICE, {}, None, cites=[late])
    ends = Ends({}, {})
    assert ends.after(late, frozenset()) == {late.event_id}
    ends.note(entry_of(child, outcome))
    assert ends.after(late, frozenset()) == ({late.event_id} if is_end else set())


@pytest.mark.parametrize(("after", "is_passed"), [(1, True), (None, False)])
def test_what_may_not_be_cited_is_passed_over(
    after: int | None, *, is_passed: bool
) -> None:
    """An event takes the place of the end before a rejected one of known state."""
    made = MadeRoom("10")
    rejected = made.send("m.room.message", ALICE, {}, None, cites=[made.join])
    event = made.send("m.room.message", ALICE, {}, None, cites=[rejected])
    ends, before = Ends({}, {}), frozenset({made.join.event_id})
    ends.note(entry_of(rejected, Outcome.REJECTED, after))
    passed = {event.event_id}
    assert ends.after(event, before) == (passed if is_passed else passed | before)
    # It is accepted after all: it may be an end, which another event replaces.
    ends.note(entry_of(rejected, Outcome.ACCEPTED))
    assert ends.after(event, before) == passed | before

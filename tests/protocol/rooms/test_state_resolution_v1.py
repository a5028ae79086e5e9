"""State resolution of room version 1, whose events are applied by their depth."""

import pytest

from homeserver.protocol.rooms.state import state_of
from homeserver.protocol.rooms.state_resolution import resolve
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom
from tests.support.state_ids import ids


def test_version_1_without_an_allowed_event() -> None:
    """Where the rules allow no event of a key, the least deep one holds."""
    room = MadeRoom("1")
    leave = room.member(BOB, "leave", cites=[])
    deep, least, deepest = (
        room.send("m.room.topic", BOB, {}, cites=[leave], depth=depth)
        for depth in (6, 5, 7)
    )
    base = state_of([room.create, room.join, leave])
    states = [base | state_of([each]) for each in (deep, least, deepest)]
    resolved = resolve(room.graph, states)
    assert resolved["m.room.topic", ""].event_id == least.event_id


def test_version_1_power_levels_come_first() -> None:
    """The power levels that were resolved decide on all that comes after them."""
    room = MadeRoom("1")
    join = room.member(BOB, "join", cites=[])
    levels = [
        room.send(
            "m.room.power_levels",
            ALICE,
            {"users": {ALICE: 100, BOB: bob}},
            cites=[room.join],
            depth=depth,
        )
        for bob, depth in ((0, 5), (50, 6))
    ]
    topics = [
        room.send("m.room.topic", user, {}, cites=[], depth=depth)
        for user, depth in ((ALICE, 7), (BOB, 8))
    ]
    base = state_of([room.create, room.join, join])
    states = [base | state_of(each) for each in zip(levels, topics, strict=True)]
    resolved = resolve(room.graph, states)
    assert ids(resolved) == ids(states[1])


@pytest.mark.parametrize("carol", ["@a:c", "@z:c"])
def test_version_1_members_do_not_see_each_other(carol: str) -> None:
    """Until all members are resolved, a member in conflict has not joined."""
    room = MadeRoom("1")
    content: dict[str, object] = {"users": {ALICE: 100, carol: 100}}
    power = room.send("m.room.power_levels", ALICE, content, cites=[room.join])
    public: dict[str, object] = {"join_rule": "public"}
    rules = room.send("m.room.join_rules", ALICE, public, cites=[room.join])
    carols = [room.member(carol, "join", cites=[rules]) for _ in range(2)]
    bobs = [
        room.send(
            "m.room.member", sender, {"membership": what}, BOB, cites=[], depth=depth
        )
        for sender, what, depth in ((BOB, "join", 5), (carol, "ban", 6))
    ]
    base = state_of([room.create, room.join, power, rules])
    for first, second in ((carols, bobs), (bobs, carols)):
        states = [base | state_of(x) for x in zip(first, second, strict=True)]
        resolved = resolve(room.graph, states)
        assert resolved["m.room.member", BOB].event_id == bobs[0].event_id


@pytest.mark.parametrize("state_key", ["", "x"])
def test_version_1_join_rules_end_at_the_first_refusal(state_key: str) -> None:
    """From the least deep one on, the first that is not allowed ends it."""
    room = MadeRoom("1")
    events = [
        room.send("m.room.join_rules", user, {}, state_key, cites=[], depth=depth)
        for depth, user in enumerate([ALICE, ALICE, BOB, ALICE], 1)
    ]
    base = state_of([room.create, room.join])
    states = [base | state_of([each]) for each in reversed(events)]
    resolved = resolve(room.graph, states)
    assert resolved["m.room.join_rules", state_key].event_id == events[1].event_id

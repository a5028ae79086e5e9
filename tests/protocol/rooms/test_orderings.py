"""The orderings of state resolution v2, by events that differ in one thing."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.orderings import order_by_mainline, order_by_power
from homeserver.protocol.slices import run
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom
from tests.protocol.rooms.vectors import reference


def ordered_by_power(room: MadeRoom, events: Sequence[Event]) -> list[Event]:
    """The events in reverse topological power ordering."""
    return run(order_by_power(room.graph, {event.event_id for event in events}))


def ban(room: MadeRoom, sender: str, cites: Sequence[Event], ts: int = 1000) -> Event:
    """One more ban."""
    content: dict[str, object] = {"membership": "ban", "n": len(room.events)}
    return room.send("m.room.member", sender, content, "@x:x", cites=cites, ts=ts)


def levels(room: MadeRoom, cites: Sequence[Event], **content: object) -> Event:
    """One more power levels event."""
    return room.send("m.room.power_levels", ALICE, content, cites=cites)


@pytest.mark.parametrize(
    ("alice", "bob"), [(100, 99), (1, 0), (-1, -2), ("10", "9"), (0, -1)]
)
def test_more_power_goes_first(alice: object, bob: object) -> None:
    """The sender's power by the event's own auth events decides, not the time."""
    room = MadeRoom("9")
    current = levels(room, [room.join], users={ALICE: alice, BOB: bob})
    events = [ban(room, BOB, [current], ts=1), ban(room, ALICE, [current], ts=2)]
    assert ordered_by_power(room, events) == events[::-1]


def test_power_by_own_auth_events() -> None:
    """Each event counts by the power levels that it cites itself."""
    room = MadeRoom("10")
    low = levels(room, [room.join], users={ALICE: 50})
    high = levels(room, [room.join], users={ALICE: 100})
    events = [ban(room, ALICE, [low], ts=1), ban(room, ALICE, [high], ts=2)]
    assert ordered_by_power(room, events) == events[::-1]


def test_power_of_create_events() -> None:
    """It is that of the power levels that they cite, though they were rejected."""
    room = MadeRoom("10")
    power = levels(room, [room.join], users={ALICE: 1})
    first, second = (
        room.send("m.room.create", ALICE, {}, cites=[], auth_events=cites, ts=ts)
        for cites, ts in (([], 1), ([reference(power)], 2))
    )
    graph = replace(room.graph, rejected={power.event_id})
    ordered = run(order_by_power(graph, {first.event_id, second.event_id}))
    assert ordered == [second, first]


@pytest.mark.parametrize("version", ["2", "10", "11"])
def test_creator_without_power_levels(version: str) -> None:
    """Before there are power levels, the creator has 100 and others have nothing."""
    room = MadeRoom(version)
    current = levels(room, [room.join], users={"@carol:c": 99})
    events = [
        ban(room, ALICE, [], ts=3),
        ban(room, "@carol:c", [current], ts=2),
        ban(room, BOB, [], ts=1),
    ]
    assert ordered_by_power(room, events[::-1]) == events


def test_creators_of_version_12() -> None:
    """No level is above a creator's power, which is the same for all of them."""
    room = MadeRoom("12")
    current = levels(room, [room.join], users={BOB: 2**53 - 1})
    events = [ban(room, ALICE, [current], ts=2), ban(room, BOB, [current], ts=1)]
    assert ordered_by_power(room, events[::-1]) == events


def test_unreadable_power_is_none() -> None:
    """Before version 10, levels that nothing reads may be there: they give nothing."""
    room = MadeRoom("9")
    broken = levels(room, [room.join], users_default="all of it", users={ALICE: 1})
    negative = levels(room, [room.join], users={ALICE: -1})
    events = [
        ban(room, ALICE, [broken], ts=3),
        ban(room, BOB, [broken], ts=2),
        ban(room, ALICE, [negative], ts=1),
    ]
    assert ordered_by_power(room, events[::-1]) == events


def test_earlier_goes_first() -> None:
    """Of equal power, the earlier one; times of the wire may be negative or huge."""
    room = MadeRoom("10")
    times = [-(2**53) + 1, -5, 0, 7, 2**53 - 1]
    events = [ban(room, ALICE, [], ts=ts) for ts in times]
    assert ordered_by_power(room, events[::-1]) == events


def test_least_id_goes_first() -> None:
    """Of equal power and time, the one whose ID has the lesser bytes."""
    room = MadeRoom("10")
    events = [ban(room, ALICE, []) for _ in range(6)]
    events.sort(key=lambda event: event.event_id.encode())
    assert ordered_by_power(room, events[::-1]) == events


def test_auth_events_go_first() -> None:
    """An event waits for those that it cites, whatever its sender's power and time."""
    room = MadeRoom("10")
    weak = levels(room, [room.join], users={BOB: 100})
    first = ban(room, "@nobody:n.example", [weak], ts=9)
    second = ban(room, ALICE, [first], ts=1)
    third = ban(room, BOB, [weak, second, first], ts=0)
    other = ban(room, ALICE, [], ts=8)
    events = [other, first, second, third]
    assert ordered_by_power(room, events[::-1]) == events


def test_cited_twice() -> None:
    """An event that cites another one twice waits for all that it cites."""
    room = MadeRoom("10")
    first, second = ban(room, ALICE, [], ts=1), ban(room, ALICE, [], ts=3)
    last = ban(room, ALICE, [first, first, second], ts=2)
    assert ordered_by_power(room, [last, second, first]) == [first, second, last]


def test_mainline_positions() -> None:
    """What rests on older power levels goes first, and first what rests on none."""
    room = MadeRoom("10")
    one = levels(room, [room.join])
    two = levels(room, [one])
    side = levels(room, [one], users={})
    three = levels(room, [two])
    topics = [
        ban(room, ALICE, [], ts=6),
        ban(room, ALICE, [one], ts=4),
        ban(room, ALICE, [side], ts=5),
        ban(room, ALICE, [side], ts=7),
        ban(room, ALICE, [two], ts=3),
        ban(room, ALICE, [three], ts=1),
        ban(room, ALICE, [three], ts=2),
    ]
    ids = [event.event_id for event in reversed(topics)]
    assert run(order_by_mainline(room.graph, ids, three)) == topics


def test_power_levels_start_at_their_auth_events() -> None:
    """An event of the mainline itself has the position of those that it cites."""
    room = MadeRoom("10")
    one = levels(room, [room.join])
    two = levels(room, [one])
    early = ban(room, ALICE, [one], ts=two.origin_server_ts - 1)
    late = ban(room, ALICE, [one], ts=two.origin_server_ts + 1)
    ids = [event.event_id for event in (late, two, early)]
    assert run(order_by_mainline(room.graph, ids, two)) == [early, two, late]


def test_without_power_levels() -> None:
    """Without a mainline, time decides, and then the ID."""
    room = MadeRoom("12")
    some = levels(room, [room.join])
    events = [ban(room, ALICE, [], ts=1), ban(room, ALICE, [some], ts=2)]
    events += sorted(
        (ban(room, ALICE, [some], ts=3) for _ in range(4)),
        key=lambda event: event.event_id.encode(),
    )
    ids = [event.event_id for event in reversed(events)]
    assert run(order_by_mainline(room.graph, ids, None)) == events


def test_levels_of_other_keys_are_no_mainline() -> None:
    """Power levels with a state key of their own lead nowhere."""
    room = MadeRoom("10")
    one = levels(room, [room.join])
    other = room.send("m.room.power_levels", ALICE, {}, "x", cites=[one])
    early, late = ban(room, ALICE, [other], ts=5), ban(room, ALICE, [one], ts=1)
    ids = [event.event_id for event in (late, early)]
    assert run(order_by_mainline(room.graph, ids, one)) == [early, late]

"""Rooms that we take part in, in memory and in the store.

Rules: events follow one another and join what forks; what the rules do not allow is not
sent; a redaction applies to what is served.
"""

import pytest

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, UserId
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.author import Given
from homeserver.rooms.room import Room
from tests.support.coroutines import result_of
from tests.support.our_names import OTHER_NAME, OUR_NAME
from tests.support.our_rooms import ALICE, BOB, OurRooms, events_of, same, text
from tests.support.state_ids import ids


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_sent(version: str) -> None:
    """Events of ours follow one another, and go to the servers in the room."""
    ours = OurRooms()
    room = ours.create(version)
    ours.send(room, "m.room.message", text("alone"))
    assert ours.queued() == {}
    ours.send(room, "m.room.member", {"membership": "invite"}, BOB.user_id)
    assert ours.queued() == {}  # an invite goes to its server by another way
    join_bob(ours, room)
    sent = [ours.send(room, "m.room.message", text(str(n))) for n in range(3)]
    assert ours.queued() == {"them.example": 3}
    assert ours.woken == 3
    [last] = room.extremities
    assert last == sent[-1].event.event_id
    assert sent[2].event.prev_event_ids == (sent[1].event.event_id,)
    assert sent[2].entry.before == sent[0].entry.after
    # A server whose last user leaves learns of it.
    ours.send(room, "m.room.member", {"membership": "ban"}, BOB.user_id)
    ours.send(room, "m.room.message", text("alone again"))
    assert ours.queued() == {"them.example": 4}
    same(room, ours.read(room.room_id))
    assert [x.event_id for x in events_of(room)] == list(room.entries)


def join_bob(ours: OurRooms, room: Room) -> None:
    """Let Bob join, by an event that nobody else sent."""
    new = NewEvent("m.room.member", BOB, {"membership": "join"}, BOB.user_id)
    given = Given(is_checked=False, destinations=[])
    sent = result_of(ours.rooms.send(room.room_id, new, given))
    assert sent.entry.outcome is Outcome.ACCEPTED


def test_forked() -> None:
    """With `prev_events` of one's own the room forks; the next event joins its ends."""
    ours = OurRooms()
    room = ours.create()
    root = ours.send(room, "m.room.message", text("root"))
    given = Given(prev_events=[root.event.event_id], depth=77)
    left = ours.send(room, "m.room.topic", {"topic": "left"}, "", given)
    right = ours.send(room, "m.room.topic", {"topic": "right"}, "", given)
    assert room.extremities == {left.event.event_id, right.event.event_id}
    assert left.event.depth == right.event.depth == 77
    assert left.entry.before == right.entry.before == root.entry.after
    before = room.state_before(right.event.event_id)
    assert before is not None
    assert ("m.room.topic", "") not in before
    merged = ours.send(room, "m.room.message", text("merged"))
    assert set(merged.event.prev_event_ids) == {
        left.event.event_id,
        right.event.event_id,
    }
    assert merged.event.depth == 78
    assert room.extremities == {merged.event.event_id}
    topic = room.current["m.room.topic", ""]
    assert topic.event_id in {left.event.event_id, right.event.event_id}
    same(room, ours.read(room.room_id))


def test_given_auth_events() -> None:
    """What the rules do not allow is refused, or made on purpose and kept apart."""
    ours = OurRooms()
    room = ours.create()
    create = room.current["m.room.create", ""].event_id
    bad = Given(auth_events=[create])
    before = dict(room.entries)
    with pytest.raises(NotAllowed):
        ours.send(room, "m.room.message", text("x"), None, bad)
    assert room.entries == before
    forced = Given(auth_events=[create], is_checked=False)
    sent = ours.send(room, "m.room.message", text("x"), None, forced)
    assert (sent.entry.outcome, sent.entry.check) == (Outcome.REJECTED, 4)
    assert sent.event.event_id not in room.extremities
    unknown = Given(prev_events=[EventId("$unknown")], is_checked=False)
    outlier = ours.send(room, "m.room.message", text("y"), None, unknown)
    assert outlier.entry.outcome is Outcome.OUTLIER
    same(room, ours.read(room.room_id))


def test_not_allowed() -> None:
    """A user who is not in the room sends nothing."""
    ours = OurRooms()
    room = ours.create()
    stranger = UserId.parse(f"@s:{OUR_NAME}")
    with pytest.raises(NotAllowed):
        result_of(
            ours.rooms.send(room.room_id, NewEvent("m.room.message", stranger, {}))
        )
    with pytest.raises(InvalidParam):
        result_of(ours.rooms.send(room.room_id, NewEvent("m.room.message", BOB, {})))


@pytest.mark.parametrize("version", ["1", "3", "11", "12"])
def test_redacted(version: str) -> None:
    """A redaction applies to what is served, also when the room is read again."""
    ours = OurRooms()
    room = ours.create(version)
    message = ours.send(room, "m.room.message", text("secret"))
    topic = ours.send(room, "m.room.topic", {"topic": "secret"}, "")
    for target in (message, topic):
        new = NewEvent("m.room.redaction", ALICE, {}, None, target.event.event_id)
        sent = result_of(ours.rooms.send(room.room_id, new))
        entry = room.entries[target.event.event_id]
        assert entry.redacted_by == sent.event.event_id
    for each in (room, ours.read(room.room_id)):
        targets = [message.event.event_id, topic.event.event_id]
        served = result_of(each.shown(targets))
        assert [x.event_id for x in served] == targets
        assert [x.content for x in served] == [{}, {}]
        # The authorization rules go by what it was.
        assert each.current["m.room.topic", ""].content == {"topic": "secret"}


def test_redaction_before_its_target() -> None:
    """A redaction waits for its target, also when the room is read meanwhile."""
    ours = OurRooms()
    room = ours.create("10")
    end = Given(prev_events=list(room.extremities))
    message = result_of(
        ours.author.make(room, NewEvent("m.room.message", ALICE, text("late")), end)
    )
    new = NewEvent("m.room.redaction", ALICE, {}, None, message.event_id)
    redaction = result_of(ours.rooms.send(room.room_id, new))
    again = ours.again()  # it has read the redaction, and not its target

    async def take() -> Room:
        async with again.rooms.turn(room.room_id) as turn:
            await turn.take(message)
            return turn.room

    entry = result_of(take()).entries[message.event_id]
    assert entry.redacted_by == redaction.event.event_id
    assert ours.read(room.room_id).entries[message.event_id] == entry


def test_names_apart() -> None:
    """Rooms of one of our names are not known to another one."""
    ours = OurRooms()
    room = ours.create()
    others = OurRooms(ours.database, OTHER_NAME)
    assert result_of(others.rooms.find(room.room_id)) is None
    assert result_of(others.rooms.room_with(next(iter(room.entries)))) is None
    found = result_of(ours.again().rooms.room_with(next(iter(room.entries))))
    assert found is not None
    assert found.room_id == room.room_id


@pytest.mark.parametrize("has_policy", [False, True])
def test_begun_elsewhere(*, has_policy: bool) -> None:
    """A room that others have made begins with our join, after the state before it.

    Our join needs no signature of a policy server: nobody could know of that one.
    """
    theirs = OurRooms()
    room = theirs.create("10", preset="public_chat")
    if has_policy:
        key = encode_base64(bytes(32))
        policy: Json = {"via": OUR_NAME.name, "public_keys": {"ed25519": key}}
        theirs.send(room, "m.room.policy", policy, "")
    bob = UserId.parse(f"@b:{OUR_NAME}")
    new = NewEvent("m.room.member", bob, {"membership": "join"}, bob.user_id)
    join = result_of(theirs.author.make(room, new))
    state = room.current
    chain = room.auth_chain([join, *state.values()])
    ours = OurRooms()

    async def begin() -> Room:
        async with ours.rooms.begin(room.room_id, room.room_version) as turn:
            events = [*state.values(), *chain]
            assert await turn.know_all(list(reversed(events))) == []
            entry = await turn.begin(join, state)
            assert entry.outcome is Outcome.ACCEPTED
            return turn.room

    begun = result_of(begin())
    assert begun.extremities == {join.event_id}
    assert ids(begun.current) == {
        **ids(state),
        ("m.room.member", bob.user_id): join.event_id,
    }
    outcomes = {each.outcome for each in begun.entries.values()}
    assert outcomes == {Outcome.OUTLIER, Outcome.ACCEPTED}
    same(begun, ours.read(room.room_id))
    assert membership(begun.current, bob.user_id) == "join"
    with pytest.raises(InvalidParam):
        result_of(begin())


def test_forgotten() -> None:
    """A room that is forgotten leaves no row, and what it took is free again."""
    ours = OurRooms()
    lengths = [length(ours)]
    room = ours.create()
    result_of(ours.rooms.directory.add_alias("#a:us.example", room.room_id))
    lengths.append(length(ours))
    ours.send(room, "m.room.message", text("x" * 5000))
    lengths.append(length(ours))
    assert lengths[2] - lengths[1] > 5000 < lengths[1] - lengths[0] + 4000
    result_of(ours.rooms.forget(room.room_id))
    assert result_of(ours.rooms.find(room.room_id)) is None
    assert length(ours) == lengths[0]
    assert result_of(ours.rooms.directory.alias("#a:us.example")) is None


def length(ours: OurRooms) -> int:
    """The bytes that retention counts."""
    [row] = result_of(
        ours.database.read(
            lambda cursor: cursor.execute("SELECT length FROM retention").fetchall()
        )
    )
    return int(row[0])


def test_directory() -> None:
    """Aliases lead to one room, and listed rooms are listed."""
    ours = OurRooms()
    directory = ours.rooms.directory
    room, other = ours.create(is_listed=True), ours.create()
    assert result_of(directory.listed_rooms()) == [room.room_id]
    result_of(directory.list_publicly(room.room_id, is_listed=False))
    assert result_of(directory.listed_rooms()) == []
    alias = "#a:us.example"
    assert result_of(directory.add_alias(alias, room.room_id))
    assert result_of(directory.add_alias(alias, room.room_id))
    assert not result_of(directory.add_alias(alias, other.room_id))
    assert result_of(directory.alias(alias)) == room.room_id

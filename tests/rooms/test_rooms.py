"""Rooms that we create and take part in, in memory and in the store."""

import pytest

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.errors import BadJson, InvalidParam, NotFound
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, RoomId, UserId
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.author import Given
from homeserver.rooms.room import Room
from homeserver.rooms.turn import Turn
from homeserver.storage.room_rows import RoomChanged
from tests.support.coroutines import result_of
from tests.support.our_names import OTHER_NAME, OUR_NAME
from tests.support.our_rooms import (
    ALICE,
    BOB,
    OurRooms,
    events_of,
    ids,
    new_room,
    same,
    text,
)
from tests.support.room_side import changed
from tests.support.signed_requests import US, Peer, signing_key

VERSIONS = tuple(ROOM_VERSIONS)


@pytest.mark.parametrize("preset", ["private_chat", "public_chat"])
@pytest.mark.parametrize("version", VERSIONS)
def test_created(version: str, preset: str) -> None:
    """A room of each version has the events of its preset, all of them accepted."""
    ours = OurRooms()
    room = ours.create(version, preset=preset, name="N", topic="T")
    entries = list(room.entries.values())
    assert [each.type for each in entries] == [
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "m.room.name",
        "m.room.topic",
    ]
    assert {each.outcome for each in entries} == {Outcome.ACCEPTED}
    assert [each.depth for each in entries] == list(range(1, 9))
    assert room.extremities == {entries[-1].event_id}
    assert len(room.current) == 8
    rule = "public" if preset == "public_chat" else "invite"
    assert room.current["m.room.join_rules", ""].content == {"join_rule": rule}
    assert room.residents == {OUR_NAME}
    is_hash = version == "12"
    assert (":" in room.room_id) is not is_hash
    are_named = version in {"1", "2"}
    assert {"event_id" in event.pdu for event in room.current.values()} == {are_named}
    same(room, ours.read(room.room_id))
    assert result_of(ours.rooms.store.room_ids()) == [room.room_id]


@pytest.mark.parametrize(("version", "to_upgrade"), [("11", 100), ("12", 150)])
def test_levels_of_the_owners(version: str, to_upgrade: int) -> None:
    """What could take control of a room needs 100; an upgrade is the creators'."""
    content = OurRooms().create(version).current["m.room.power_levels", ""].content
    assert content["events"] == {
        "m.room.encryption": 100,
        "m.room.history_visibility": 100,
        "m.room.power_levels": 100,
        "m.room.server_acl": 100,
        "m.room.tombstone": to_upgrade,
    }


def test_trusted() -> None:
    """A trusted preset gives power to those who are invited; what is given replaces."""
    room = OurRooms().create(
        "11",
        preset="trusted_private_chat",
        invited=[BOB],
        power_levels={"kick": 10},
        content={"type": "m.space"},
        initial_state=[
            NewEvent("m.room.join_rules", ALICE, {"join_rule": "knock"}, ""),
            NewEvent("m.room.encryption", ALICE, {"algorithm": "x"}, ""),
        ],
    )
    levels = room.current["m.room.power_levels", ""].content
    assert levels["users"] == {ALICE.user_id: 100, BOB.user_id: 100}
    assert levels["kick"] == 10
    assert room.current["m.room.create", ""].content["type"] == "m.space"
    assert room.current["m.room.join_rules", ""].content == {"join_rule": "knock"}
    assert ("m.room.encryption", "") in room.current


def test_not_created() -> None:
    """A room that the rules do not allow leaves nothing behind."""
    ours = OurRooms()
    bad = [NewEvent("m.room.power_levels", ALICE, {"ban": "x"}, "")]
    with pytest.raises(BadJson):
        ours.create("12", initial_state=bad)
    assert result_of(ours.store.room_ids()) == []
    stranger = new_room(creator=BOB)
    with pytest.raises(InvalidParam, match=r"them\.example, not of ours"):
        result_of(ours.rooms.create(stranger))
    with pytest.raises(NotFound):
        result_of(ours.rooms.known(RoomId("!no:us.example")))


def test_why_not_created() -> None:
    """A create event that is not allowed is refused with its own rule."""
    ours = OurRooms()
    with pytest.raises(NotAllowed, match=r"^rule 1\.4: .*additional_creators"):
        ours.create("12", content={"additional_creators": "x"})
    assert result_of(ours.store.room_ids()) == []


@pytest.mark.parametrize("version", VERSIONS)
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


def test_written_or_not() -> None:
    """A turn that fails leaves the room as the store has it."""
    ours = OurRooms()
    room = ours.create()
    before = dict(room.entries)

    async def fail() -> None:
        async with ours.rooms.turn(room.room_id) as turn:
            new = NewEvent("m.room.message", ALICE, text("x"))
            await turn.take(await ours.author.make(turn.room, new))
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        result_of(fail())
    assert room.is_stale
    again = result_of(ours.rooms.known(room.room_id))
    assert again.entries == before
    ours.send(again, "m.room.message", text("y"))


def test_begun_in_vain() -> None:
    """A room that was left and is joined in vain stays as the store has it."""
    ours = OurRooms()
    room = ours.create()
    before = room.extremities
    new = NewEvent("m.room.message", ALICE, text("x"))
    event = result_of(ours.author.make(room, new))
    lost = changed(event, Peer(US, signing_key()), auth_events=["$" + "a" * 43])

    async def begin() -> None:
        async with ours.rooms.turn(room.room_id) as turn:
            await turn.begin(lost, turn.room.current)

    with pytest.raises(UnknownAuthEvent):
        result_of(begin())
    assert result_of(ours.rooms.known(room.room_id)).extremities == before


def test_two_processes() -> None:
    """Of two processes, the one that has read an older room reads it again."""
    ours = OurRooms(is_shared=True)
    theirs = OurRooms(ours.database, is_shared=True)
    room = ours.create()
    theirs.send(room, "m.room.message", text("1"))
    sent = ours.send(room, "m.room.message", text("2"))
    again = result_of(ours.rooms.known(room.room_id))
    assert len(again.entries) == len(room.entries) + 2
    assert again.extremities == {sent.event.event_id}
    # Without a look at the store, the commit finds out.
    alone, other = OurRooms(ours.database), OurRooms(ours.database)
    result_of(alone.rooms.known(room.room_id))
    other.send(room, "m.room.message", text("3"))
    before = other.read(room.room_id).extremities
    sent = alone.send(room, "m.room.message", text("4"))
    assert set(sent.event.prev_event_ids) == before
    assert len(other.read(room.room_id).entries) == len(again.entries) + 2


def test_changed_again_and_again() -> None:
    """A change that others always come before is given up, and nothing is written."""
    ours = OurRooms()
    room = ours.create()
    attempts = []

    async def take(turn: Turn) -> None:
        attempts.append(turn.room)
        other = OurRooms(ours.database)
        new = NewEvent("m.room.message", ALICE, text(str(len(attempts))))
        await other.rooms.send(room.room_id, new)
        await ours.rooms.enter(turn, await ours.author.make(turn.room, new))

    with pytest.raises(RoomChanged):
        result_of(ours.rooms.change(room.room_id, take))
    assert len({*map(id, attempts)}) == len(attempts) == 10
    assert len(ours.read(room.room_id).entries) == len(room.entries) - 1 + 10


def test_sent_once_more() -> None:
    """A turn that only queues something reads a room again that others changed."""
    ours = OurRooms()
    room = ours.create()
    sent = ours.send(room, "m.room.message", text("1"))
    attempts = []

    async def send(turn: Turn) -> None:
        attempts.append(turn.room)
        if len(attempts) == 1:
            new = NewEvent("m.room.message", ALICE, text("2"))
            await OurRooms(ours.database).rooms.send(room.room_id, new)
        turn.send(sent.event, [OTHER_NAME])

    result_of(ours.rooms.change(room.room_id, send))
    assert len(attempts) == 2


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

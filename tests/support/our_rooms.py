"""The rooms of one of our servers, in a store in memory."""

from random import Random

from twisted.internet.task import Clock

from homeserver.identity.identity import Identity
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, RoomId, ServerName, UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.state import StateMap
from homeserver.rooms.author import USUAL, Author, Given
from homeserver.rooms.entry import Sent
from homeserver.rooms.new_room import NewRoom
from homeserver.rooms.room import Room
from homeserver.rooms.rooms import Rooms
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.notifier import Changes
from homeserver.storage.room_directory import RoomDirectory
from tests.support.coroutines import result_of
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.signed_requests import OTHERS, identity
from tests.support.state_ids import ids

NOW = 1_800_000_000.0  # seconds since 1970

ALICE = UserId.parse(f"@alice:{OUR_NAME}")
BOB = UserId.parse("@bob:them.example")
CAROL = f"@carol:{OTHERS.server_name}"


class OurRooms:
    """The rooms of one of our servers, and what a test does in them."""

    def __init__(
        self,
        database: ImmediateDatabase | None = None,
        name: ServerName = OUR_NAME,
        *,
        own: Identity | None = None,
        seed: int = 1,
        is_shared: bool = False,
        max_bytes: int | None = None,
    ) -> None:
        """`own` is the identity; by default ours."""
        self.database = database or MemoryDatabase()
        self.clock = Clock()
        self.clock.advance(NOW)
        self.woken = 0
        """How often the sender was woken."""

        self.store = RoomStore(
            self.database,
            name,
            lambda _: int(NOW * 1000),
            Changes(self.clock),
            is_shared=is_shared,
        )
        known = own or identity()
        self.author = Author(lambda: known, self.clock, Random(seed))
        self.rooms = Rooms(
            self.store,
            RoomDirectory(self.database, name),
            self.author,
            self._wake,
            Pace(self.clock),
            max_bytes=max_bytes,
        )

    def _wake(self) -> None:
        self.woken += 1

    def create(self, version: str = "12", **more: object) -> Room:
        """A room of Alice's."""
        return result_of(self.rooms.create(new_room(version, **more)))

    def again(self) -> "OurRooms":
        """The same store, as another process reads it."""
        return OurRooms(self.database)

    def read(self, room_id: RoomId) -> Room:
        """A room as the store has it now."""
        room = result_of(self.again().rooms.find(room_id))
        assert room is not None
        return room

    def send(
        self,
        room: Room,
        kind: str,
        content: Json,
        key: str | None = None,
        given: Given = USUAL,
    ) -> Sent:
        """An event of Alice's."""
        new = NewEvent(kind, ALICE, content, key)
        return result_of(self.rooms.send(room.room_id, new, given))

    def queued(self) -> dict[str, int]:
        """How many events are queued for each server."""
        rows = result_of(
            self.database.read(
                lambda cursor: cursor.execute(
                    "SELECT destination, queued FROM destinations"
                ).fetchall()
            )
        )
        return dict(rows)


def new_room(version: str = "12", **more: object) -> NewRoom:
    """A room of Alice's that is about to be created."""
    wanted: dict[str, object] = {
        "creator": ALICE,
        "room_version": ROOM_VERSIONS[version],
        **more,
    }
    return NewRoom(**wanted)  # type: ignore[arg-type] # as the caller has them


def state(kind: str, content: Json) -> NewEvent:
    """A state event of Alice's."""
    return NewEvent(kind, ALICE, content, "")


def join_rule(rule: str, **more: object) -> NewEvent:
    """The join rules of a room."""
    return state("m.room.join_rules", {"join_rule": rule, **more})


def text(body: str) -> Json:
    """The content of a message."""
    return {"msgtype": "m.text", "body": body}


def _state_after(room: Room, event_id: EventId) -> StateMap | None:
    number = room.number_after(event_id)
    return None if number is None else room.states.map(number)


def same(one: Room, other: Room) -> None:
    """Two rooms have the same events with the same outcomes and states."""
    assert one.entries == other.entries
    assert one.extremities == other.extremities
    assert one.events.keys() == other.events.keys()
    assert ids(one.current) == ids(other.current)
    assert len(one.states) == len(other.states)
    for entry in one.entries.values():
        event_id = entry.event_id
        for state_at in (Room.state_before, _state_after):
            first, second = state_at(one, event_id), state_at(other, event_id)
            assert (first is None) == (second is None)
            if first is not None and second is not None:
                assert ids(first) == ids(second)


def events_of(room: Room) -> list[Event]:
    """All events of a room, in the order of arrival."""
    found = result_of(room.read(list(room.entries)))
    return [found[each] for each in room.entries]

"""The rooms that one of our servers takes part in.

What other parts need of it:

- `find` and `known` give a `Room`, from memory or from the store.
- `create` makes a room of ours; `send` makes an event of ours in a room, enters it and
  queues it for the servers of the room, in one commit.
- `turn` gives the right to change a room: all that its block takes in is written when
  the block ends. `Turn` says what may be done.
- `change` has it done in a turn, and again where another process was faster.
- `begin` is `turn` for a room that was not known: the one that a user of ours joins.
  Its block makes the events of the reply known (`know_all`), and begins at the join
  (`Turn.begin`).

Rules: a room exists here because it was created or joined on request. What other
servers send about other rooms creates none.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from twisted.internet.defer import DeferredLock

from homeserver.net.cause import OURSELVES
from homeserver.net.cooperate import Pace
from homeserver.net.handled import handled
from homeserver.protocol.errors import (
    Forbidden,
    InvalidParam,
    NotFound,
    Overloaded,
    quote,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import EventId, RoomId, ServerName, UserId
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.creation import build_create
from homeserver.protocol.rooms.policy import is_recommended
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import StateMap
from homeserver.rooms.author import USUAL, Author, Given
from homeserver.rooms.destinations import destinations
from homeserver.rooms.entry import Sent
from homeserver.rooms.joins import Joins
from homeserver.rooms.new_room import NewRoom
from homeserver.rooms.policies import Recommend, not_asked
from homeserver.rooms.reading import ReadEvent, had, read_room
from homeserver.rooms.room import Room
from homeserver.rooms.turn import Turn
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.room_directory import RoomDirectory
from homeserver.storage.room_rows import RoomChanged

_T = TypeVar("_T")

_ATTEMPTS = 10  # of a change; each that fails is a change of another process

_RETRY_SECONDS = 3600  # nothing is removed of a room by itself


class Rooms:
    """The rooms of one of our servers."""

    def __init__(
        self,
        store: RoomStore,
        directory: RoomDirectory,
        author: Author,
        wake: Callable[[], object],
        pace: Pace,
        *,
        max_bytes: int | None = None,
    ) -> None:
        """`wake` lets the sender look for what was queued.

        `pace` is that of the work on all events. `max_bytes` is what all rooms may take
        of the store for what other servers send.
        """
        self._max_bytes = max_bytes
        self.store = store
        self.directory = directory
        self.author = author
        self._wake = wake
        self._pace = pace
        self.recommend: Recommend = not_asked
        """Asks the policy servers of rooms."""

        self.joins = Joins()
        self._rooms: dict[RoomId, Room] = {}
        self._reading = DeferredLock()

    @property
    def server_name(self) -> ServerName:
        """Our name."""
        return self.store.server_name

    async def find(self, room_id: RoomId) -> Room | None:
        """A room; None if there is no such room here. Raises `StoreUnavailable`."""
        room = self._rooms.get(room_id)
        if room is not None and not await self._is_stale(room):
            return room
        if await self.store.revision(room_id) is None:
            self._rooms.pop(room_id, None)
            return None
        async with self._reading:
            room = self._rooms.get(room_id)  # another one may have read it meanwhile
            if room is not None and not await self._is_stale(room):
                return room
            stored = await self.store.room(room_id, ReadEvent.of, had(room))
            if stored is None:
                return None
            room = await read_room(room_id, stored, self.store, self._pace, room)
            self._rooms[room_id] = room
            return room

    async def known(self, room_id: RoomId) -> Room:
        """As `find`; raises `NotFound`."""
        room = await self.find(room_id)
        if room is None:
            raise NotFound(f"the room {quote(room_id)} is not known here")
        return room

    @asynccontextmanager
    async def turn(self, room_id: RoomId) -> AsyncIterator[Turn]:
        """Have the turn to change a room; its end writes what was taken in.

        If the block raises, nothing is written. Raises `NotFound`, `StoreUnavailable`.
        """
        while True:
            found = self._rooms.get(room_id)
            room = found if found and not found.is_stale else await self.known(room_id)
            async with room.lock:
                if not room.is_stale and await self._is_current(room):
                    turn = Turn(room)
                    try:
                        yield turn
                        await self._write(turn)
                    except BaseException as problem:
                        if turn.has_changed or isinstance(problem, RoomChanged):
                            self._discard(room)
                        raise
                    return

    async def change(
        self, room_id: RoomId, work: Callable[[Turn], Awaitable[_T]]
    ) -> _T:
        """What `work` returns in a turn; it is called again if that cannot be written.

        That is where another process has changed the room meanwhile. Raises as `turn`.
        """
        for left in reversed(range(_ATTEMPTS)):
            try:
                async with self.turn(room_id) as turn:
                    return await work(turn)
            except RoomChanged as problem:
                if not left:
                    raise
                handled(problem)
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def begin(
        self, room_id: RoomId, room_version: RoomVersion
    ) -> AsyncIterator[Turn]:
        """Have the first turn of a room that is new here.

        Raises `InvalidParam` if it is known already, `StoreUnavailable`.
        """
        if await self.find(room_id) is not None:
            raise InvalidParam(f"the room {quote(room_id)} is known here already")
        room = Room(room_id, room_version, self.store, self._pace)
        turn = Turn(room)
        yield turn
        await self._write(turn)
        self._rooms[room_id] = room

    async def create(self, new: NewRoom) -> Room:
        """Create a room; raises `ProtocolError` where the rules do not allow it."""
        author, version = self.author, new.room_version
        self.check_is_ours(new.creator)
        ids = author.new_room_id(), author.new_event_id(version)
        pdu = build_create(new.creator, version, author.create_ts(), new.content, ids)
        create = author.sign(pdu, version)
        async with self.begin(create.room_id, version) as turn:
            await self.enter(turn, create)
            for each in new.events:
                event = await author.make(turn.room, each)
                await turn.take(
                    await self.recommend(event, turn.room.current, OURSELVES)
                )
        if new.is_listed:
            await self.directory.list_publicly(create.room_id, is_listed=True)
        return turn.room

    async def send(self, room_id: RoomId, new: NewEvent, given: Given = USUAL) -> Sent:
        """Make an event of ours in a room, and send it to the servers of the room.

        The policy server of the room is asked before, outside of the room's turn.
        Raises `Forbidden` if it does not sign, `NotAllowed` where the rules do not
        allow it, unless `given` says otherwise, another `ProtocolError` for a wrong
        form, and `NotFound`.
        """
        if given.is_checked:
            self.check_is_ours(new.sender)

        async def make(turn: Turn) -> Sent | tuple[Event, StateMap]:
            event = await self.author.make(turn.room, new, given)
            current = turn.room.current
            if not given.asks_policy or is_recommended(event, current):
                return await self.enter(turn, event, given)
            return event, current

        made = await self.change(room_id, make)
        if isinstance(made, Sent):
            return made
        event = await self.recommend(*made, OURSELVES)
        return await self.change(room_id, lambda turn: self.enter(turn, event, given))

    async def enter(self, turn: Turn, event: Event, given: Given = USUAL) -> Sent:
        """Take in an event in a turn, and queue it for the servers of its room.

        Raises `NotAllowed` for one that is rejected, unless `given` says otherwise.
        """
        receipt = await turn.judge(event)
        if receipt.outcome is Outcome.REJECTED and given.is_checked:
            if isinstance(receipt.verdict, NotAllowed):
                raise receipt.verdict
            raise Forbidden(receipt.verdict.why)
        entry = await turn.take(event)
        names = given.destinations
        if names is None:
            names = destinations(turn.room, event, entry, self.server_name)
        turn.send(event, names)
        return Sent(event, entry)

    def check_is_ours(self, user: UserId) -> None:
        """Raise `InvalidParam` for a sender that is another server's user."""
        if user.server_name != self.server_name:
            raise InvalidParam(
                f"the sender is a user of {user.server_name}, not of ours"
            )

    async def check_space(self) -> None:
        """Raise `Overloaded` if the rooms take as much of the store as they may.

        It is for what other servers send; what is asked for here is always stored.
        """
        if self._max_bytes is None or await self.store.length() < self._max_bytes:
            return
        raise Overloaded(
            "the rooms here take all the space that [retention] max_megabytes allows",
            _RETRY_SECONDS,
        )

    async def room_with(self, event_id: EventId) -> Room | None:
        """A room that has an event of that ID; None if there is none."""
        for room in self._rooms.values():
            if event_id in room.entries:
                return await self.find(room.room_id)
        for room_id in await self.store.rooms_with(event_id):
            return await self.find(room_id)
        return None

    async def forget(self, room_id: RoomId) -> None:
        """Forget a room with everything in it; raises `NotFound`."""
        room = await self.known(room_id)
        async with room.lock:
            await self.store.forget(room_id)
            self._discard(room)

    async def _write(self, turn: Turn) -> None:
        change = turn.written()
        if change is None:
            return
        turn.room.mark_written(change, await self.store.record(change))
        if turn.has_outgoing:
            self._wake()

    async def _is_current(self, room: Room) -> bool:
        """Whether the store has nothing newer, which another process wrote."""
        is_shared = self.store.is_shared
        if is_shared and await self.store.revision(room.room_id) != room.revision:
            room.is_stale = True
        return not room.is_stale

    async def _is_stale(self, room: Room) -> bool:
        if self.store.is_shared and not room.lock.locked:  # our turn may be writing
            revision = await self.store.revision(room.room_id)
            if revision != room.revision and not room.lock.locked:
                room.is_stale = True
        return room.is_stale

    def _discard(self, room: Room) -> None:
        """Let a room be read again."""
        room.is_stale = True
        if self._rooms.get(room.room_id) is room:
            del self._rooms[room.room_id]

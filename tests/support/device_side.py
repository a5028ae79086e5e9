"""A server that keeps the devices of users in its rooms, and the server of Bob."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.cooperate import Pace
from homeserver.outbound.calls import Call
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.storage.device_lists import DeviceListStore, KnownDevices
from homeserver.users.device_list_fetches import DeviceListFetches, device_list_shares
from homeserver.users.device_lists import KeptDeviceLists
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import BOB
from tests.support.room_side import RoomSide
from tests.support.signed_requests import THEM, Peer

UPDATE = "m.device_list_update"


class Calls:
    """Calls of ours, which a test answers."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Call, Deferred[Json]]] = []
        """Those that have no answer yet."""

        self.asked: list[str] = []
        """The paths of all."""

    async def ask(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> Json:
        """As `FederationCalls`."""
        assert not cause.is_ours, "it is charged to the client"
        assert str(destination) == call.path.rpartition(":")[2]
        answer: Deferred[Json] = Deferred()
        self.asked.append(call.path)
        self.waiting.append((call, answer))
        return await answer

    def answer(self, reply: Json | Exception) -> None:
        """Answer the first call that waits."""
        _, waiting = self.waiting.pop(0)
        if isinstance(reply, Exception):
            waiting.errback(reply)
        else:
            waiting.callback(reply)


class DeviceSide(RoomSide):
    """A room of Alice's with Bob in it, and what is kept of Bob's devices."""

    def __init__(self) -> None:
        super().__init__()
        self.remote = Calls()
        self.lists = self.process(self.remote)
        self._sent = 0
        rule: Json = {"join_rule": "public"}
        self.room = self.ours.create("11")
        self.ours.send(self.room, "m.room.join_rules", rule, "")
        self.join(self.room)

    def process(self, remote: Calls) -> KeptDeviceLists:
        """What a process of the endpoint has to keep device lists."""
        store = DeviceListStore(self.database, OUR_NAME)
        fetches = DeviceListFetches(
            remote,  # type: ignore[arg-type] # it has what is used
            store,
            device_list_shares(self.clock),
            self.clock,
        )
        sharing = self.ours.store.sharing
        return KeptDeviceLists(store, fetches, sharing, Pace(self.clock))

    async def _note_polled(
        self, asker: ServerName, edus: Sequence[Json], cause: Cause
    ) -> None:
        await self.lists.take_in(asker, edus, cause)

    def leave(self, user: UserId) -> None:
        """Let a user of the other server leave it."""
        event = self.membership(self.room, "leave", user.user_id)
        assert self.send("leave", event).status == 200

    def tell(self, *edus: Json, peer: Peer = THEM) -> None:
        """Let the other server send EDUs in a transaction."""
        self._sent += 1
        content: Json = {"pdus": [], "edus": list(edus)}
        self.ask("PUT", "send", f"t{self._sent}", content=content, peer=peer)

    def kept(self) -> list[KnownDevices]:
        """What is kept."""

        async def kept() -> list[KnownDevices]:
            return [each async for each in self.lists.each()]

        return result_of(kept())

    def stream_id(self) -> int | None:
        """That of Bob's list; None if it is not up to date."""
        found = result_of(self.lists.known(BOB))
        return found.devices.stream_id if found.devices and not found.problem else None


def update(stream_id: int, *prev: int, user: str = BOB.user_id, **more: object) -> Json:
    """An update of a user's devices, by default of Bob's."""
    content: Json = {"user_id": user, "device_id": "A", "stream_id": stream_id}
    return {"edu_type": UPDATE, "content": {**content, "prev_id": list(prev), **more}}


def devices(stream_id: int, *ids: str, user: str = BOB.user_id) -> Json:
    """The answer of `user/devices`."""
    listed = [{"device_id": each} for each in ids]
    return {"user_id": user, "stream_id": stream_id, "devices": listed}

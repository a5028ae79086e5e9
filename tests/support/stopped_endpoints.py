"""The store of an endpoint that does not run, with its rooms.

Rules: the endpoint has no process that changes rooms meanwhile.
"""

import time
from random import Random

from twisted.internet.task import Clock

from homeserver.config.reader import load
from homeserver.identity.identity import load as load_identity
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.author import Author
from homeserver.rooms.new_room import NewRoom
from homeserver.rooms.rooms import Rooms
from homeserver.storage.engine.choose import choose
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.notifier import Changes
from homeserver.storage.pending_memberships import PendingStore
from homeserver.storage.room_directory import RoomDirectory
from scripts.processes import Endpoint
from tests.support.coroutines import result_of


class StoppedEndpoint:
    """The rooms of an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = ServerName.parse(endpoint.name)
        config = load(endpoint.configuration)
        identity = load_identity(endpoint.configuration, config.first)
        clock = Clock()
        clock.advance(time.time())  # noqa: TID251 - as the endpoint has it
        engine = choose(config.storage.url, endpoint.folder, clock)
        self.connection = engine.connect()
        database = ImmediateDatabase(self.connection, self.name)
        self.rooms = Rooms(
            RoomStore(
                database,
                self.name,
                lambda _: int(clock.seconds() * 1000),
                Changes(clock),
            ),
            RoomDirectory(database, self.name),
            Author(lambda: identity, clock, Random(1)),
            lambda: None,
            Pace(clock),
        )

        self.invites = PendingStore(database, self.name)

    def create(
        self,
        name: str,
        version: str,
        join_rule: Json | None = None,
        *,
        is_listed: bool = False,
    ) -> RoomId:
        """A room with an alias of that name, public by default; its ID."""
        creator = self.user("ann")
        rule = join_rule or {"join_rule": "public"}
        new = NewRoom(
            creator=creator,
            room_version=ROOM_VERSIONS[version],
            preset="public_chat",
            name=name,
            initial_state=[NewEvent("m.room.join_rules", creator, rule, "")],
            is_listed=is_listed,
        )
        room = result_of(self.rooms.create(new))
        alias = f"#{name}:{self.name}"
        assert result_of(self.rooms.directory.add_alias(alias, room.room_id))
        return room.room_id

    def user(self, name: str) -> UserId:
        """A user of this server."""
        return UserId.parse(f"@{name}:{self.name}")

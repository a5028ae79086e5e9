"""Rooms of Synapse that a user of ours is in.

The endpoint knows nothing of these rooms: the test does what a joining server does, in
its name and with its key. From then on Synapse sends the endpoint what happens
in the room, and takes what the endpoint sends.

Specification: Server-server API, "Joining Rooms".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import quote

from homeserver.protocol.events.event import Event, hash_and_sign
from homeserver.protocol.events.room_versions import (
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
    parse_room_version,
)
from homeserver.protocol.identifiers import ServerName
from tests.support.synapse_servers import Signer

_numbers = count()


@dataclass(frozen=True)
class Membership:
    """A user of ours in a room of Synapse."""

    signer: Signer
    join: Event
    state: Sequence[Event]
    """The room before the join, as Synapse told it."""

    @property
    def room_version(self) -> RoomVersion:
        """The room's."""
        return self.join.room_version

    @property
    def create(self) -> Event:
        """The create event of the room."""
        [event] = [each for each in self.state if each.type == "m.room.create"]
        return event

    def event(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """An event that the user may send after the join, not hashed nor signed."""
        allowing = [e for e in self.state if e.type == "m.room.power_levels"]
        if not self.room_version.has_hash_room_id:  # else the room's ID names it
            allowing.append(self.create)
        pdu: dict[str, Any] = {
            "type": kind,
            "room_id": self.join.room_id,
            "sender": str(self.join.sender),
            "content": content,
            "origin_server_ts": self.join.origin_server_ts + 1,
            "depth": int(str(self.join.pdu["depth"])) + 1,
            "prev_events": [_reference(self.join)],
            "auth_events": [_reference(each) for each in (*allowing, self.join)],
        }
        if self.room_version.id_format is IdFormat.SENT:
            pdu["event_id"] = _new_id(self.signer.name)
        return pdu

    def sign(self, pdu: dict[str, Any]) -> Event:
        """An event, hashed and signed as its server does it."""
        signer = self.signer
        return Event.parse(
            hash_and_sign(pdu, self.room_version, signer.name, [signer.key]),
            self.room_version,
        )


def join(signer: Signer, synapse: ServerName, room_id: str, user_id: str) -> Membership:
    """Let a user join, with the two requests that it takes."""
    federation = "/_matrix/federation"
    room, user = quote(room_id, safe=""), quote(user_id, safe="")
    versions = "&".join(f"ver={version}" for version in ROOM_VERSIONS)
    status, template = signer.ask(
        synapse, "GET", f"{federation}/v1/make_join/{room}/{user}?{versions}"
    )
    assert status == 200, template
    room_version = parse_room_version(template["room_version"])
    pdu = template["event"]
    if room_version.id_format is IdFormat.SENT:
        pdu["event_id"] = _new_id(signer.name)
    event = Event.parse(
        hash_and_sign(pdu, room_version, signer.name, [signer.key]), room_version
    )
    event_id = quote(event.event_id, safe="")
    status, answer = signer.ask(
        synapse, "PUT", f"{federation}/v2/send_join/{room}/{event_id}", event.pdu
    )
    assert status == 200, answer
    state = [Event.parse(each, room_version) for each in answer["state"]]
    return Membership(signer, event, state)


def _new_id(server_name: ServerName) -> str:
    return f"${next(_numbers)}:{server_name}"


def _reference(event: Event) -> object:
    """How later events name an event."""
    if event.room_version.id_format is IdFormat.SENT:
        return [event.event_id, event.pdu["hashes"]]
    return event.event_id

"""The time to create rooms, and to resolve the state of one with a long auth chain."""

import time
from functools import cache, partial

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.events.event import Event, content_hash
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_events import auth_keys, select_auth_events
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.state import StateKey, StateMap, state_of
from homeserver.protocol.rooms.state_resolution import resolve
from scripts.benchmarks.table import OURS, Row, Sample
from tests.support.our_rooms import OurRooms

EVENTS = 10_000
"""What one branch has in its auth chain and the other lacks: all of it is applied."""

ROOMS = 1_000
"""That are created, in a store in memory: as a lab has them."""

_ALICE = "@alice:bench.test"


def creations(rooms: int = ROOMS) -> Row:
    """Public rooms of the last version, with the usual state and one member."""
    return Row(f"create {rooms} rooms", "s CPU", {OURS: partial(_create_rooms, rooms)})


def _create_rooms(rooms: int, _: int) -> Sample:
    ours = OurRooms()
    begun = time.process_time()
    for _number in range(rooms):
        ours.create(preset="public_chat")
    return Sample(time.process_time() - begun)


def state_resolutions(events: int = EVENTS) -> list[Row]:
    """Two branches meet, in one of which power changes and users join all the time."""
    return [
        Row(
            f"resolve state, {events} events, version {version}",
            "s CPU",
            {OURS: partial(_resolve, version, events)},
        )
        for version in ("10", "12")
    ]


def _resolve(version: str, events: int, _: int) -> Sample:
    graph, states = branches(version, events)
    begun = time.process_time()
    resolved = resolve(graph, states)
    took = time.process_time() - begun
    if len(resolved) <= events // 2:
        raise RuntimeError("the users of the long branch did not join")
    return Sample(took)


@cache
def branches(version: str, events: int) -> tuple[AuthGraph, list[StateMap]]:
    """A room, and the states of two branches of it."""
    room = _Room(version)
    content: Json = {"room_version": version, "creator": _ALICE}
    room.send("m.room.create", _ALICE, content, "")
    room.send("m.room.member", _ALICE, {"membership": "join"}, _ALICE)
    room.send("m.room.join_rules", _ALICE, {"join_rule": "public"}, "")
    fork = dict(room.state)
    room.send("m.room.topic", _ALICE, {"topic": "the other branch"}, "")
    short, room.state = room.state, fork
    for number in range(events // 2):
        user = f"@u{number}:bench.test"
        users: Json = {user: 1}
        if not room.version.has_hash_room_id:
            users[_ALICE] = 100  # a creator of version 12 has no level
        room.send("m.room.power_levels", _ALICE, {"users": users}, "")
        room.send("m.room.member", user, {"membership": "join"}, user)
    return AuthGraph(room.version, room.events), [short, room.state]


class _Room:
    """Unsigned events that cite their auth events."""

    def __init__(self, version: str) -> None:
        self.version = ROOM_VERSIONS[version]
        self.events: dict[EventId, Event] = {}
        self.state: dict[StateKey, Event] = {}
        self._last: list[EventId] = []
        self._room_id = "!room:bench.test"

    def send(self, kind: str, sender: str, content: Json, state_key: str) -> None:
        """Make a state event, after the last one."""
        keys = auth_keys(kind, sender, state_key, content, self.version)
        pdu: Json = {
            "type": kind,
            "sender": sender,
            "content": content,
            "state_key": state_key,
            "origin_server_ts": len(self.events),
            "depth": len(self.events),
            "prev_events": self._last,
            "auth_events": [
                each.event_id for each in select_auth_events(keys, self.state)
            ],
        }
        if self.events or not self.version.has_hash_room_id:
            pdu["room_id"] = self._room_id
        hashes = {"sha256": encode_base64(content_hash(pdu))}
        event = Event.parse(pdu | {"hashes": hashes, "signatures": {}}, self.version)
        self._room_id = event.room_id
        self._last = [event.event_id]
        self.events[event.event_id] = event
        self.state = {**self.state, **state_of([event])}

"""What makes events for wrong answers about rooms.

Rules: an event that is wrong in one way is right in every other: it has a content hash
and our signatures. The room version is that of the create event among the events of the
answer; without one, an event that is no state event is signed alike in all versions
since the third.

Specification: Server-server API, "PDUs", "Signing Events".
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256

import msgspec

from homeserver.http.reply import Reply
from homeserver.lab.faults.bodies import Change
from homeserver.lab.faults.fault import Act, Case, Continue, with_body
from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.canonical_json import (
    Json,
    as_object,
    encode,
    encode_urlsafe_base64,
)
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import Event, hash_and_sign
from homeserver.protocol.events.room_versions import (
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
)
from homeserver.protocol.identifiers import EventId, RoomId, ServerName, UserId
from homeserver.protocol.rooms.building import NewEvent, Place, build_pdu
from homeserver.protocol.rooms.state import StateMap, state_of

OTHER_SERVER = "spoiled.invalid"  # RFC 2606: it never resolves

MAX_DEPTH = 2**53 - 1  # as large as an integer of canonical JSON

_CREATE = "m.room.create"
_MESSAGE = "m.room.message"


def changed_events(change: Change) -> Act:
    """A fault that changes the object in an answer, also one of `[200, {...}]`.

    An answer that is an error stays as it is.
    """

    async def act(value: object, go_on: Continue, case: Case) -> Reply:
        reply = await go_on()
        if reply.status != 200:
            return reply
        answer: object = msgspec.json.decode(reply.body)
        if isinstance(answer, list):
            found = change(as_object(answer[1], "the answer"), value, case)
            return with_body(reply, encode([answer[0], found]))
        return with_body(reply, encode(change(as_object(answer, "it"), value, case)))

    return act


def events_in(answer: Json, *names: str) -> list[Json]:
    """The events in some lists of an answer."""
    found: list[Json] = []
    for name in names:
        items = answer.get(name)
        if isinstance(items, list):
            found += [each for each in items if isinstance(each, dict)]
    return found


def flipped(pdu: Json) -> Json:
    """An event with another first character in each of its signatures."""
    signatures = as_object(pdu.get("signatures", {}), "`signatures`")
    return {
        **pdu,
        "signatures": {
            server: {
                key_id: ("B" if str(text).startswith("A") else "A") + str(text)[1:]
                for key_id, text in as_object(of_server, "signatures").items()
            }
            for server, of_server in signatures.items()
        },
    }


def steps_of(case: Case, name: str) -> str:
    """A step of the path of a request."""
    return case.request.parameters.get(name, b"").decode("utf-8", "replace")


class Forger:
    """Makes the events of one wrong answer."""

    def __init__(self, case: Case, events: Sequence[Json]) -> None:
        """`events` are those of the right answer."""
        self.server = ServerName.parse(case.server)
        self._keys = list(case.keys.signing(case.server))
        self.now_ts = wall_ts(case.clock)
        self.room_id = RoomId(steps_of(case, "roomId"))
        self.version = _version_of(events)
        self._count = 0

    def parsed(self, pdus: Iterable[Json]) -> list[Event]:
        """Events, without those of a wrong form."""
        found = []
        for each in pdus:
            with suppress(ProtocolError):
                found.append(Event.parse(each, self.version))
        return found

    def state(self, pdus: Iterable[Json]) -> StateMap:
        """The state that events are."""
        return state_of(self.parsed(pdus))

    def signed(self, pdu: Json) -> Json:
        """An event with hashes and signatures of its own."""
        bare = {k: v for k, v in pdu.items() if k not in {"hashes", "signatures"}}
        return hash_and_sign(bare, self.version, self.server, self._keys)

    def event(self, new: NewEvent, state: StateMap, prev: Sequence[Event] = ()) -> Json:
        """An event that is right in a state."""
        place = Place(self.version, self.room_id, prev, state)
        return self.signed(build_pdu(new, place, self.now_ts, self._event_id()))

    def message(self, sender: object = None, room_id: object = None) -> Json:
        """A message that nothing cites, and that cites one which does not exist."""
        user = sender or f"@spoiled:{self.server}"
        unknown = self.unknown_id(f"{room_id} {self.now_ts} {self._count}")
        pdu: Json = {
            "type": _MESSAGE,
            "room_id": room_id or self.room_id,
            "sender": user,
            "content": {"msgtype": "m.text", "body": f"spoiled {self._count}"},
            "origin_server_ts": self.now_ts,
            "depth": 1,
            "prev_events": [self.reference(unknown)],
            "auth_events": [self.reference(unknown)],
        }
        event_id = self._event_id()
        return self.signed(pdu if event_id is None else {**pdu, "event_id": event_id})

    def unknown_id(self, seed: str) -> EventId:
        """The ID of an event that does not exist."""
        digest = encode_urlsafe_base64(sha256(seed.encode()).digest())
        if self.version.id_format is IdFormat.SENT:
            return EventId(f"${digest[:18]}:{self.server}")
        return EventId(f"${digest}")

    def reference(self, event_id: EventId) -> object:
        """How an event cites one of this ID."""
        if self.version.id_format is IdFormat.SENT:
            return [event_id, {"sha256": encode_urlsafe_base64(bytes(32))}]
        return event_id

    def creator(self, state: StateMap) -> UserId | None:
        """The creator of the room, if that is a user of this server."""
        create = state.get((_CREATE, ""))
        if create is None or create.sender.server_name != self.server:
            return None
        return create.sender

    def _event_id(self) -> EventId | None:
        self._count += 1
        if self.version.id_format is not IdFormat.SENT:
            return None
        return self.unknown_id(f"own {self.now_ts} {self._count}")


def in_each(name: str, change: Callable[[Forger, Json], Json]) -> Change:
    """Another event in place of each one of a list."""

    def act(answer: Json, _: object, case: Case) -> Json:
        events = events_in(answer, name)
        forger = Forger(case, events)
        return {**answer, name: [change(forger, each) for each in events]}

    return act


def flipped_event(_: Forger, pdu: Json) -> Json:
    """An event with wrong signatures, for `in_each`."""
    return flipped(pdu)


def emptied(*names: str) -> Change:
    """Nothing is left of some lists."""

    def act(answer: Json, _: object, __: Case) -> Json:
        return {**answer, **{name: [] for name in names if name in answer}}

    return act


def halved(*names: str) -> Change:
    """Of each list the first half is left."""

    def act(answer: Json, _: object, __: Case) -> Json:
        lists: Json = {}
        for name in names:
            found = answer.get(name)
            if isinstance(found, list):
                lists[name] = found[: len(found) // 2]
        return {**answer, **lists}

    return act


def _version_of(events: Sequence[Json]) -> RoomVersion:
    for each in events:
        if each.get("type") == _CREATE:
            content = each.get("content")
            named = content.get("room_version", "1") if isinstance(content, dict) else 1
            if named in ROOM_VERSIONS:
                return ROOM_VERSIONS[str(named)]
    is_old = any("event_id" in each for each in events)
    return ROOM_VERSIONS["1" if is_old else "11"]

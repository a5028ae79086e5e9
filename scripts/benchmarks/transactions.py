"""Transactions that other servers have signed, each of them a new one.

Rules: no transaction and no event is sent twice: a server has less to do for one that
it knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count

import nacl.signing

from homeserver.protocol.canonical_json import Json, encode, encode_urlsafe_base64
from homeserver.protocol.events.event import event_id, hash_and_sign
from homeserver.protocol.events.room_versions import DEFAULT_ROOM_VERSION
from homeserver.protocol.identifiers import EventId, KeyId, RoomId, ServerName
from homeserver.protocol.signing import SigningKey
from homeserver.protocol.xmatrix import FederationRequest

KEY_ID = KeyId("ed25519:bench")


@dataclass(frozen=True, slots=True)
class Origin:
    """A server that sends."""

    name: ServerName
    key: SigningKey

    @classmethod
    def at(cls, address: str) -> "Origin":
        """A server whose name is its address, HOST:PORT, with a key of its own."""
        key = SigningKey(KEY_ID, nacl.signing.SigningKey.generate())
        return cls(ServerName.parse(address), key)


@dataclass(frozen=True, slots=True)
class KnownRoom:
    """A room that the server is in, with one user of each server that sends.

    Each transaction has a chain of events, which begins after the same event.
    """

    room_id: RoomId
    last_id: EventId
    depth: int
    auth_events: Mapping[ServerName, Sequence[EventId]]
    """What a message of each server's user cites."""


def user_of(server_name: ServerName) -> str:
    """The user of a server that sends."""
    return f"@user:{server_name}"


class TransactionMaker:
    """Makes requests that deliver transactions to one server."""

    def __init__(
        self, origins: Sequence[Origin], destination: ServerName, now_ts: int
    ) -> None:
        self._origins = origins
        self._destination = destination
        self._now_ts = now_ts
        self._numbers = count()

    def requests(
        self, transactions: int, pdus: int, room: KnownRoom | None = None
    ) -> list[bytes]:
        """So many transactions with so many PDUs each, the origins in turn.

        The PDUs are of `room`; without it, of one that the server does not know.
        """
        return [
            self._request(self._origins[number % len(self._origins)], pdus, room)
            for number in range(transactions)
        ]

    def _request(self, origin: Origin, pdus: int, room: KnownRoom | None) -> bytes:
        """One request as it is on the wire."""
        content: Json = {
            "origin": origin.name.name,
            "origin_server_ts": self._now_ts,
            "pdus": self._pdus(origin, pdus, room),
            "edus": [],
        }
        target = f"/_matrix/federation/v1/send/{next(self._numbers)}"
        request = FederationRequest(
            "PUT", target, origin.name, self._destination, content
        )
        [authorization] = request.sign([origin.key])
        body = encode(content)
        head = (
            f"PUT {target} HTTP/1.1\r\n"
            f"Host: {self._destination}\r\n"
            f"Authorization: {authorization}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body

    def _pdus(self, origin: Origin, count: int, room: KnownRoom | None) -> list[Json]:
        if room is None:
            return [self._pdu(origin) for _ in range(count)]
        chain: list[Json] = []
        last_id, depth = room.last_id, room.depth
        for _ in range(count):
            depth += 1
            place: Json = {
                "room_id": room.room_id,
                "auth_events": room.auth_events[origin.name],
                "prev_events": [last_id],
                "depth": depth,
            }
            chain.append(self._pdu(origin, place))
            last_id = event_id(chain[-1], DEFAULT_ROOM_VERSION)
        return chain

    def _pdu(self, origin: Origin, place: Json | None = None) -> Json:
        """A message in a room of the present room version, a kilobyte of JSON."""
        number = next(self._numbers)
        unknown = "$" + encode_urlsafe_base64(sha256(b"%d" % number).digest())
        pdu: Json = {
            "type": "m.room.message",
            "room_id": f"!{'r' * 43}",
            "sender": user_of(origin.name),
            "origin_server_ts": self._now_ts + number,
            "depth": number,
            "auth_events": [unknown, unknown, unknown],
            "prev_events": [unknown],
            "content": {"msgtype": "m.text", "body": f"{number} " + "word " * 40},
            "unsigned": {"age": 100},
            **(place or {}),
        }
        return hash_and_sign(pdu, DEFAULT_ROOM_VERSION, origin.name, [origin.key])

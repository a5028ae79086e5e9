"""An exchange in the record, with the members that it can be found by.

Rules: an exchange does not change once it is in the record, but for hints that are
found later. A member that costs something to find, such as the rooms in a body, is
found when it is first asked for. Bodies are those of others: whatever is in them,
nothing is raised.
"""

import re
from collections.abc import Collection, Sequence
from typing import Literal, get_args
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from homeserver.net.exchange import Exchange

Member = Literal[
    "server",
    "peer",
    "direction",
    "kind",
    "route",
    "method",
    "path",
    "status",
    "reason",
    "txn_id",
    "room_id",
]
"""What an exchange is found by."""

MEMBERS: Sequence[Member] = get_args(Member)

# Not always as the exchange has them.
_FOUND_HERE = frozenset({"txn_id", "status"})

# Beside headers and bodies: the values of an exchange with their places in memory.
_OWN_BYTES = 2_000

_HEADER_BYTES = 150  # two short texts and their pair

_ROOM_IN_PATH = re.compile(r"/(?:!|%21)([^/]+)", re.IGNORECASE)

# A transaction that is refused, or made by `request`, has its ID here alone.
_TRANSACTION_PATH = re.compile(r"/_matrix/federation/v1/send/([^/]+)/?")

# More than the largest transaction has PDUs.
_MAX_ROOMS = 200


class _InRoom(Struct):
    room_id: object = None


class _Transaction(Struct):
    pdus: list[_InRoom] = []
    edus: list[object] = []


_TRANSACTION = msgspec.json.Decoder(_Transaction)


class Entry:
    """One exchange in the record."""

    def __init__(self, entry_id: int, exchange: Exchange) -> None:
        self.id = entry_id
        self.exchange = exchange
        self._rooms: Sequence[str] | None = None

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        details = self.exchange.details
        if details is None:
            return _OWN_BYTES
        return _OWN_BYTES + sum(
            len(message.body) + _HEADER_BYTES * len(message.headers)
            for message in (details.request, details.response)
            if message is not None
        )

    @property
    def status(self) -> int | None:
        """That of the response, as far as its head was on the wire."""
        details = self.exchange.details
        if details is not None and details.response is None:
            return None
        return self.exchange.status

    @property
    def rooms(self) -> Sequence[str]:
        """The IDs of the rooms that it is about: of its path, or of its PDUs."""
        if self._rooms is None:
            self._rooms = _rooms(self.exchange, self.txn_id)
        return self._rooms

    @property
    def txn_id(self) -> str | None:
        """The ID of the transaction that it is, or that its path says it is."""
        in_path = _TRANSACTION_PATH.fullmatch(self.exchange.path)
        return self.exchange.txn_id or (in_path and unquote(in_path[1])) or None

    def is_at(self, servers: Collection[str]) -> bool:
        """Whether it has arrived at one of our servers that are named, if any are."""
        exchange = self.exchange
        return exchange.direction == "in" and (
            not servers or exchange.server in servers
        )

    def values(self, member: Member) -> Sequence[str]:
        """What it has as a member, as text; none if it lacks the member.

        It can have several rooms.
        """
        if member == "room_id":
            return self.rooms
        has = self if member in _FOUND_HERE else self.exchange
        value: object = getattr(has, member)
        return () if value in {None, ""} else (str(value),)


def _rooms(exchange: Exchange, txn_id: str | None) -> Sequence[str]:
    in_path = ["!" + unquote(found) for found in _ROOM_IN_PATH.findall(exchange.path)]
    if in_path or txn_id is None or exchange.details is None:
        return in_path
    try:
        transaction = _TRANSACTION.decode(exchange.details.request.body)
    except (msgspec.MsgspecError, RecursionError):
        return ()
    named = [pdu.room_id for pdu in transaction.pdus if isinstance(pdu.room_id, str)]
    return list(dict.fromkeys(named))[:_MAX_ROOMS]

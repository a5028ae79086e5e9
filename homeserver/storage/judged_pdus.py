"""The PDUs of received transactions, with their verdicts and verified signatures.

Rules: these functions are parts of jobs. A row has the servers whose signatures of its
event were verified, because an equal event ID proves only those for a further copy. A
server is in one row of an event alone, so that a look-up does not grow with the copies.

Specification: Server-server API, "Checks performed on receipt of a PDU".
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain

from msgspec import Struct

from homeserver.protocol.canonical_json import Encoded, encode_integers
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.version_inference import VersionSource
from homeserver.protocol.identifiers import EventId, RoomId, ServerName
from homeserver.storage.engine.interface import Cursor

OUTCOMES = ("accepted", "redacted", "rejected", "soft-failed", "unsigned")
"""The first word of each verdict."""

REDACTED = "redacted"
"""The first word of the verdict on a PDU whose content hash is wrong."""

REJECTED = "rejected"
"""The first word of the verdict on a rejected PDU."""

SOFT_FAILED = "soft-failed"
"""The first word of the verdict on a PDU that the current state of its room bars."""

UNSIGNED = "unsigned: of 2014, by its transaction's origin alone"
"""The verdict on an unsigned PDU of 2014."""

# What a column holds; before room version 6, an event may have another integer. 0 is
# that of a row of before there were times.
_LEAST_TS, _MOST_TS = -(2**63), 2**63 - 1

# The events of a transaction are mostly of one server.
_MAX_WRITTEN = 100

EventOfVersion = tuple[EventId, str, int]
"""An event ID, the room version by which it was computed, and the event's time."""


class JudgedPdu(Struct, frozen=True):
    """One PDU of a transaction, with its verdict."""

    event_id: EventId | None
    """None if its form does not allow one to be computed."""

    room_version: str | None
    """The version of its checks; None if that is unknown, or none fits."""

    verdict: str
    """One of `OUTCOMES`, and after `: ` the reason if there is one."""

    event: bytes
    """In canonical JSON: as received, or as redacted if the verdict says so."""

    source: VersionSource | None = None
    """Where the room version comes from."""

    created_room: tuple[RoomId, str] | None = None
    """The room that a create event makes, and its version, known here or not."""

    signers: frozenset[ServerName] = frozenset()
    """The servers whose signatures were verified now for the first time."""

    parsed: Event | None = None
    """The event as it is recorded; None if it is rejected, or unsigned."""

    @property
    def outcome(self) -> str:
        """The verdict without its reason: one of `OUTCOMES`."""
        return self.verdict.partition(":")[0]


class ListedPdu(Struct, frozen=True):
    """One PDU of a transaction, as it was recorded."""

    event_id: str | None
    room_version: str | None
    room_version_source: str | None
    verdict: str
    event: Encoded
    """As received, or as redacted if the verdict says so."""


def record_pdus(
    cursor: Cursor,
    server_name: ServerName,
    transaction_id: int,
    pdus: Sequence[JudgedPdu],
) -> None:
    """Record the PDUs of a transaction, and the rooms that they create.

    `server_name` is ours, which received it.
    """
    cursor.executemany(
        "INSERT INTO received_pdus (server_name, transaction_id, position, event_id,"
        " room_version, room_version_source, verdict, event, signers,"
        " origin_server_ts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                server_name.name,
                transaction_id,
                position,
                pdu.event_id,
                pdu.room_version,
                None if pdu.source is None else pdu.source.value,
                pdu.verdict,
                pdu.event.decode("utf-8"),
                _written(pdu.signers) if pdu.signers else None,
                _storable(pdu.parsed.origin_server_ts)
                if pdu.signers and pdu.parsed is not None
                else 0,
            )
            for position, pdu in enumerate(pdus)
        ],
    )
    rooms = [
        (server_name.name, *pdu.created_room)
        for pdu in pdus
        if pdu.created_room is not None
    ]
    if rooms:
        cursor.executemany(
            "INSERT INTO rooms (server_name, room_id, room_version) VALUES (?, ?, ?)"
            " ON CONFLICT (server_name, room_id) DO NOTHING",
            rooms,
        )


@lru_cache(_MAX_WRITTEN)
def _written(signers: frozenset[ServerName]) -> str:
    return encode_integers(sorted(map(str, signers))).decode("ascii")


def _storable(origin_server_ts: int) -> int:
    return min(max(origin_server_ts, _LEAST_TS), _MOST_TS) or 1


def load_pdus(cursor: Cursor, transaction_id: int) -> list[ListedPdu]:
    """The PDUs of a transaction, in its order."""
    rows = cursor.execute(
        "SELECT event_id, room_version, room_version_source, verdict, event"
        " FROM received_pdus WHERE transaction_id = ? ORDER BY position",
        (transaction_id,),
    ).fetchall()
    return [
        ListedPdu(event_id, room_version, source, verdict, Encoded(event))
        for event_id, room_version, source, verdict, event in rows
    ]


def load_room_versions(
    cursor: Cursor, server_name: ServerName, room_ids: Sequence[RoomId]
) -> dict[RoomId, str]:
    """The versions of those rooms whose create event one of our names accepted.

    The version is that of the create event, supported or not. A room that the name is
    in has its version, whatever was forgotten of what was received.
    """
    found = {}
    for room_id in room_ids:
        row = cursor.execute(
            "SELECT room_version FROM joined_rooms"
            " WHERE server_name = ? AND room_id = ?"
            " UNION ALL SELECT room_version FROM rooms"
            " WHERE server_name = ? AND room_id = ? LIMIT 1",
            (server_name.name, room_id) * 2,
        ).fetchone()
        if row is not None:
            found[room_id] = row[0]
    return found


def has_untimed_signers(cursor: Cursor, server_name: ServerName) -> bool:
    """Whether there are rows with signers of before rows had times."""
    found = cursor.execute(
        "SELECT 1 FROM received_pdus WHERE server_name = ?"
        " AND origin_server_ts = 0 AND signers IS NOT NULL LIMIT 1",
        (server_name.name,),
    ).fetchall()
    return bool(found)


def load_signers(
    cursor: Cursor,
    server_name: ServerName,
    events: Sequence[EventOfVersion],
    *,
    with_untimed: bool,
) -> Mapping[EventOfVersion, frozenset[ServerName]]:
    """The servers whose signatures of these events one of our names verified before.

    `with_untimed`: also look at the rows of before rows had times.
    """
    rows = _load_signed(cursor, server_name, events, "column3")
    if with_untimed:
        rows += _load_signed(cursor, server_name, events, "0")
    found: dict[EventOfVersion, frozenset[ServerName]] = {}
    for number, signers in rows:
        names = frozenset(map(ServerName.parse, json.loads(signers)))
        event = events[number]
        found[event] = found.get(event, frozenset()) | names
    return found


def _load_signed(
    cursor: Cursor, server_name: ServerName, events: Sequence[EventOfVersion], ts: str
) -> list[tuple[int, str]]:
    """The numbers of those of the events that have rows at a time, with signers."""
    # One statement: fifty of them take three times as long.
    asked = ", ".join(["(?, ?, ?, ?)"] * len(events))
    parameters = [
        (event_id, version, _storable(origin_server_ts), number)
        for number, (event_id, version, origin_server_ts) in enumerate(events)
    ]
    return cursor.execute(
        f"SELECT DISTINCT column4, signers FROM (VALUES {asked}) AS asked"  # noqa: S608
        f" JOIN received_pdus ON origin_server_ts = {ts} AND event_id = column1"
        " AND room_version = column2"
        " WHERE server_name = ? AND signers IS NOT NULL",
        (*chain.from_iterable(parameters), server_name.name),
    ).fetchall()

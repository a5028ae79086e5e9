"""A transaction: its limits, its reading, its reply, and cutting a queue into some.

Rules of the room: the envelope is read leniently, as peers of twelve years wrote it;
its origin and its ID are those that the request proved, not those that it says. What
is in a PDU is `events`' business.

Specification: Server-server API, "Transactions"; the November 2014 text, the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import (
    Encoded,
    Json,
    as_list,
    as_object,
    as_text,
    encode,
)
from homeserver.protocol.errors import BadJson, InvalidParam, TooLarge, quote
from homeserver.protocol.identifiers import EventId, ServerName

MAX_PDUS = 50  # Server-server API, "Transactions"
MAX_EDUS = 100  # the same

# What the most used receiver takes: two hundred events of the largest size.
MAX_TRANSACTION_BYTES = 200 * 65536

ENVELOPE_BYTES = 1024  # more than what stands around the PDUs and EDUs

# The specification names no limit. A thousand characters were seen; PostgreSQL indexes
# 2,700 bytes, beside this the origin.
MAX_TXN_ID_BYTES = 2000


class Transaction(Struct, frozen=True):
    """What one server hands another at once."""

    pdus: Sequence[Json]
    """Those that are no event of any version are each a `FlawedItem`."""

    edus: Sequence[Json]
    """Each has the members `edu_type` (a string) and `content` (an object), or is a
    `FlawedItem`."""

    origin: object = None
    """Who the body says it is of, which proves nothing; None where it says nothing."""

    @classmethod
    def parse(cls, content: Json) -> "Transaction":
        """Read a transaction's body; `BadJson` for its form, or for too many in it.

        What is wrong with one PDU or EDU is no fault of the others.
        """
        if "pdus" not in content:
            raise BadJson("the transaction has no `pdus`; send [] where there are none")
        pdus = as_list(content["pdus"], "`pdus`")
        edus = as_list(content.get("edus", []), "`edus`")
        if len(pdus) > MAX_PDUS or len(edus) > MAX_EDUS:
            # Not 413, which is for bytes: peers expect 400 here.
            raise BadJson(
                f"the transaction has {len(pdus)} PDUs and {len(edus)} EDUs; "
                f"{MAX_PDUS} and {MAX_EDUS} are allowed"
            )
        return cls(
            [_read_item(pdu, "the PDU", as_object) for pdu in pdus],
            [_read_item(edu, "the EDU", parse_edu) for edu in edus],
            content.get("origin"),
        )


def _read_item(
    value: object, what: str, parse_item: Callable[[object, str], Json]
) -> Json:
    if isinstance(value, FlawedItem):
        return value
    try:
        return parse_item(value, what)
    except BadJson as problem:
        return FlawedItem({}, str(problem), encode(value).decode("utf-8"))


def parse_edu(value: object, what: str) -> Json:
    """An EDU of whatever type; `BadJson` if it has not the form that all have."""
    edu = as_object(value, what)
    as_text(edu.get("edu_type"), f"`edu_type` of {what}")
    as_object(edu.get("content"), f"`content` of {what}")
    return edu


def check_fits(pdus: Sequence[Json], edus: Sequence[Json]) -> None:
    """Refuse with `TooLarge` what does not fit into one transaction."""
    length = len(encode([*pdus, *edus])) + ENVELOPE_BYTES
    if len(pdus) > MAX_PDUS or len(edus) > MAX_EDUS or length > MAX_TRANSACTION_BYTES:
        raise TooLarge(
            f"{len(pdus)} PDUs and {len(edus)} EDUs of {length} bytes do not fit into "
            f"one transaction; {MAX_PDUS}, {MAX_EDUS} and {MAX_TRANSACTION_BYTES} are "
            "allowed"
        )


def check_txn_id(txn_id: str) -> None:
    """Refuse with `InvalidParam` a transaction ID that no one can have."""
    if "\0" in txn_id:  # as in other IDs: not everywhere that is text
        raise InvalidParam(f"the transaction ID {quote(txn_id)} has a NUL in it")
    length = len(txn_id.encode("utf-8"))
    if not 0 < length <= MAX_TXN_ID_BYTES:
        raise InvalidParam(
            f"the transaction ID {quote(txn_id)} has {length} bytes; "
            f"1 to {MAX_TXN_ID_BYTES} are allowed"
        )


def build(
    origin: ServerName,
    origin_server_ts: int,
    pdus: Iterable[Json | Encoded],
    edus: Iterable[Json | Encoded],
) -> Json:
    """The body of a transaction made at `origin_server_ts` (milliseconds)."""
    return {
        "origin": origin.name,
        "origin_server_ts": origin_server_ts,
        "pdus": list(pdus),
        "edus": list(edus),
    }


def build_reply(errors: Mapping[EventId, str | None]) -> bytes:
    """The reply to a transaction: per event nothing, or why it was refused."""
    return encode(
        {
            "pdus": {
                event_id: {} if error is None else {"error": error}
                for event_id, error in errors.items()
            }
        }
    )


class Size(Struct, frozen=True):
    """How much of a transaction's limits something takes."""

    pdus: int
    edus: int
    length: int
    """In bytes."""


def cut(queue: Iterable[Size]) -> int:
    """How many of the first entries of a queue go into one transaction together.

    At least one, so that a queue always moves: who queues sees to it that a single
    entry keeps the limits.
    """
    count = pdus = edus = 0
    length = ENVELOPE_BYTES
    for size in queue:
        pdus += size.pdus
        edus += size.edus
        length += size.length
        if count and (
            pdus > MAX_PDUS or edus > MAX_EDUS or length > MAX_TRANSACTION_BYTES
        ):
            break
        count += 1
    return count

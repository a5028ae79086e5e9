"""A transaction: its limits, its parsing, its reply, and batches from a queue.

Rules: the envelope is parsed leniently, as it has varied since 2014. The origin of a
transaction is the one that signed the request, its ID the one in the path; members of
the body prove neither. The content of PDUs is checked in `events`.

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
from homeserver.protocol.errors import MISSING, BadJson, InvalidParam, TooLarge, quote
from homeserver.protocol.identifiers import EventId, ServerName

MAX_PDUS = 50  # Server-server API, "Transactions"
MAX_EDUS = 100  # the same

# What Synapse accepts: two hundred events of the largest size.
MAX_TRANSACTION_BYTES = 200 * 65536

ENVELOPE_BYTES = 1024  # more than all other members take

# The specification has no limit. IDs of a thousand characters have been seen; an index
# entry of PostgreSQL has up to 2,700 bytes, the origin included.
MAX_TXN_ID_BYTES = 2000


class Transaction(Struct, frozen=True):
    """The parsed body of one transaction."""

    pdus: Sequence[Json]
    """A PDU that no room version allows is a `FlawedItem`."""

    edus: Sequence[Json]
    """Each has the members `edu_type` (a string) and `content` (an object), or is a
    `FlawedItem`."""

    origin: object = None
    """The `origin` in the body, which proves nothing; None if there is none."""

    @classmethod
    def parse(cls, content: Json) -> "Transaction":
        """Parse a body; `BadJson` for a malformed envelope or too many PDUs or EDUs.

        A malformed PDU or EDU becomes a `FlawedItem` and does not affect the others.
        """
        if "pdus" not in content:
            raise BadJson(
                "the transaction has no `pdus`; send an empty list if there are none"
            )
        pdus = as_list(content["pdus"], "`pdus`")
        edus = as_list(content.get("edus", []), "`edus`")
        if len(pdus) > MAX_PDUS or len(edus) > MAX_EDUS:
            # Not 413, which is for the size in bytes: peers expect 400 here.
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
    """An EDU of any type; `BadJson` without the members that all EDUs have."""
    edu = as_object(value, what)
    as_text(edu.get("edu_type", MISSING), f"`edu_type` of {what}")
    as_object(edu.get("content", MISSING), f"`content` of {what}")
    return edu


def check_fits(pdus: Sequence[Json], edus: Sequence[Json]) -> None:
    """Raise `TooLarge` for PDUs and EDUs that do not fit into one transaction."""
    length = len(encode([*pdus, *edus])) + ENVELOPE_BYTES
    if len(pdus) > MAX_PDUS or len(edus) > MAX_EDUS or length > MAX_TRANSACTION_BYTES:
        raise TooLarge(
            f"{len(pdus)} PDUs and {len(edus)} EDUs of {length} bytes do not fit into "
            f"one transaction; {MAX_PDUS}, {MAX_EDUS} and {MAX_TRANSACTION_BYTES} are "
            "allowed"
        )


def check_txn_id(txn_id: str) -> None:
    """Raise `InvalidParam` for a transaction ID that is not accepted."""
    if "\0" in txn_id:  # PostgreSQL does not store it as text
        raise InvalidParam(f"the transaction ID {quote(txn_id)} contains a NUL")
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
    """The body of a transaction created at `origin_server_ts` (milliseconds)."""
    return {
        "origin": origin.name,
        "origin_server_ts": origin_server_ts,
        "pdus": list(pdus),
        "edus": list(edus),
    }


def build_reply(errors: Mapping[EventId, str | None]) -> bytes:
    """The reply to a transaction: an empty result or an error for each event."""
    return encode(
        {
            "pdus": {
                event_id: {} if error is None else {"error": error}
                for event_id, error in errors.items()
            }
        }
    )


class Size(Struct, frozen=True):
    """What an entry of a queue takes of a transaction's limits."""

    pdus: int
    edus: int
    length: int
    """In bytes."""


def batch_size(queue: Iterable[Size]) -> int:
    """The number of entries at the head of a queue that fit into one transaction.

    At least one, so that the queue always moves; `check_fits` ensures that a single
    entry fits when it is queued.
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

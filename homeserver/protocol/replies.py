"""The reply to a transaction: whether it is one, and what is wrong with it.

Rules: a reply acknowledges the transaction if it is a JSON object; what is wrong within
it is remarked and does not undo the delivery. Servers of 2014 send `null` or nothing.

Specification: Server-server API, "Transactions"; the November 2014 text, the same.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

import msgspec

from homeserver.protocol.canonical_json import Encoded, Json, as_object, parse
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError, quote
from homeserver.protocol.events.event import event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId

_MAX_REMARKS = 60  # one for each PDU, and some for the reply itself


class _Sent(msgspec.Struct):
    """Of a transaction's body what its reply is about."""

    pdus: list[Encoded] = []


_PDUS = msgspec.json.Decoder(_Sent)

# Of an error text: those of the most used server have up to 300 characters.
_MAX_ERROR = 500

# Those whose event IDs differ, most used ones first. 11 redacts as 12, 6 to 9 redact
# each type as 5 or as 10, 4 as 5; in 2 the sender chooses the ID as in 1.
_ID_VERSIONS = [ROOM_VERSIONS[name] for name in ("10", "12", "1", "5", "3")]


def parse_reply(body: bytes, *, is_of_2014: bool) -> tuple[Json | None, Sequence[str]]:
    """The reply of a 200, and what is wrong with its JSON.

    None where there is nothing to read in it: `null` or an empty body from a server of
    2014, or an object that breaks the rules for JSON in Matrix. Raises `NotJson` and
    `BadJson` for what acknowledges nothing.
    """
    if is_of_2014 and body.strip() in {b"", b"null"}:
        return None, ()
    try:
        value = parse(body)
    except NotJson:
        raise
    except ProtocolError as problem:
        # It is JSON, and the peer's own reader had no objection.
        if body.lstrip().startswith(b"{"):
            return None, [f"the reply is not read: {problem}"]
        raise BadJson("the reply is not a JSON object") from None
    return as_object(value, "the reply"), ()


def sent_pdus(body: bytes) -> Iterator[Json]:
    """The PDUs of a transaction that is made of canonical JSON."""
    for pdu in _PDUS.decode(body).pdus:
        yield msgspec.json.decode(pdu)


def find_event_id(pdu: Json, among: Collection[str]) -> EventId | None:
    """The ID of a PDU in any room version, if it is `among` some IDs.

    The room version of a PDU cannot be told from it.
    """
    for room_version in _ID_VERSIONS:
        try:
            found = event_id(pdu, room_version)
        except ProtocolError:
            continue
        if found in among:
            return found
    return None


def answered_pdus(reply: Json) -> Json:
    """`{event ID: what the destination says of it}`; empty where it says nothing."""
    pdus = reply.get("pdus")
    return pdus if isinstance(pdus, dict) else {}


def remarks_on(reply: Json, found: list[EventId | None]) -> list[str]:
    """What is wrong with a reply, a sentence each.

    `found` has the ID that was found in the reply for each PDU of the transaction.
    """
    remarks = list(islice(_remarks(reply, found), _MAX_REMARKS + 1))
    if len(remarks) > _MAX_REMARKS:
        remarks[-1] = "there is more wrong with the reply"
    return remarks


def _remarks(reply: Json, found: list[EventId | None]) -> Iterator[str]:
    if "pdus" not in reply:
        yield "the reply has no `pdus`"
        return
    if not isinstance(reply["pdus"], dict):
        yield "`pdus` of the reply is not a JSON object"
        return
    sent = set(found)
    for name, result in answered_pdus(reply).items():
        if name not in sent:
            yield f"the reply names {quote(name)}, which was not sent"
        yield from _remarks_on_result(name, result)
    for index, own_id in enumerate(found):
        if own_id is None:
            yield f"the reply does not name PDU {index}"


def _remarks_on_result(name: str, result: object) -> Iterator[str]:
    if not isinstance(result, dict):
        yield f"the result of {quote(name)} is not a JSON object: {quote(result)}"
    elif result.get("error") is not None:
        why = quote(result["error"], _MAX_ERROR)
        yield f"the destination rejects {quote(name)}: {why}"

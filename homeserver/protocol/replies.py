"""The reply to a transaction: whether it acknowledges, and remarks on its content.

Rules: a reply that is a JSON object acknowledges the transaction. Errors within it are
remarks and do not undo the delivery. Servers of 2014 send `null` or an empty body.

Specification: Server-server API, "Transactions"; the November 2014 text, the same.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import msgspec

from homeserver.protocol.canonical_json import Encoded, Json, as_object, parse
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError, quote
from homeserver.protocol.events.event import event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.remarks import Remark

_MAX_REMARKS = 60  # one for each PDU, and ten for the reply itself


class _Sent(msgspec.Struct):
    """The part of a transaction's body that its reply refers to."""

    pdus: list[Encoded] = []


_PDUS = msgspec.json.Decoder(_Sent)

# Characters of an error text; the longest ones of Synapse have 300.
_MAX_ERROR = 500

# One version for each way to compute an event ID, the most used first. 11 redacts as
# 12; 6 to 9 redact each type as 5 or as 10; 4 redacts as 5; 2 has the ID of 1.
_ID_VERSIONS = [ROOM_VERSIONS[name] for name in ("10", "12", "1", "5", "3")]


def parse_reply(body: bytes, *, is_of_2014: bool) -> tuple[Json | None, Sequence[str]]:
    """The reply in the body of a 200 response, and remarks on its JSON.

    The reply is None for `null` or an empty body of a server of 2014, and for an object
    that `parse` rejects. Raises `NotJson` and `BadJson` for a body that does not
    acknowledge the transaction.
    """
    if is_of_2014 and body.strip() in {b"", b"null"}:
        return None, ()
    try:
        value = parse(body)
    except NotJson:
        raise
    except ProtocolError as problem:
        # It is JSON, though not what `parse` accepts.
        if body.lstrip().startswith(b"{"):
            return None, [f"the content of the reply is ignored: {problem}"]
        raise BadJson("the reply is not a JSON object") from None
    return as_object(value, "the reply"), ()


def sent_pdus(body: bytes) -> Iterator[Json]:
    """The PDUs of a transaction's body in canonical JSON."""
    for pdu in _PDUS.decode(body).pdus:
        yield msgspec.json.decode(pdu)


def find_event_id(pdu: Json, among: Collection[str]) -> EventId | None:
    """The event ID of a PDU, in whichever room version gives one of the IDs `among`.

    A PDU does not name its room version.
    """
    for room_version in _ID_VERSIONS:
        with suppress(ProtocolError):  # some versions need an `event_id`
            found = event_id(pdu, room_version)
            if found in among:
                return found
    return None


def answered_pdus(reply: Json) -> Json:
    """`{event ID: its result}` as the reply has it; empty if it has no `pdus`."""
    pdus = reply.get("pdus")
    return pdus if isinstance(pdus, dict) else {}


def remarks_on(reply: Json, found: list[EventId | None]) -> list[Remark]:
    """The errors of a reply.

    `found` has, for each PDU of the transaction, its ID in the reply or None.
    """
    remarks = list(islice(_remarks(reply, found), _MAX_REMARKS + 1))
    if len(remarks) > _MAX_REMARKS:
        remarks[-1] = Remark("reply_pdus", "the reply has more errors")
    return remarks


def _remarks(reply: Json, found: list[EventId | None]) -> Iterator[Remark]:
    if "pdus" not in reply:
        yield Remark("reply_pdus", "the reply has no `pdus`")
        return
    if not isinstance(reply["pdus"], dict):
        yield Remark("reply_pdus", "`pdus` of the reply is not a JSON object")
        return
    sent = set(found)
    for name, result in answered_pdus(reply).items():
        if name not in sent:
            text = f"the reply names {quote(name)}, which was not sent"
            yield Remark("reply_unknown_event", text)
        yield from _remarks_on_result(name, result)
    for index, own_id in enumerate(found):
        if own_id is None:
            text = f"the reply does not name PDU {index}"
            yield Remark("reply_missing_event", text)


def _remarks_on_result(name: str, result: object) -> Iterator[Remark]:
    if not isinstance(result, dict):
        text = f"the result of {quote(name)} is not a JSON object: {quote(result)}"
        yield Remark("reply_pdus", text)
    elif result.get("error") is not None:
        why = quote(result["error"], _MAX_ERROR)
        text = f"the destination rejects {quote(name)}: {why}"
        yield Remark("reply_rejection", text)

"""Unsigned PDUs of the servers of 2014, with `pdu_id`, `context` and `pdu_type`.

Rules: only the signed request proves the author of such a PDU. So it is accepted from
its own server alone, and is never an event of a room.

Specification: the November 2014 text, "PDUs"; Synapse 0.4.
"""

from homeserver.protocol.canonical_json import Json, as_object, as_text, encode
from homeserver.protocol.errors import MISSING, BadJson, InvalidParam, TooLarge, quote
from homeserver.protocol.events.event import MAX_EVENT_BYTES
from homeserver.protocol.identifiers import (
    MAX_ID_BYTES,
    ServerName,
    UserId,
    parse_room_id,
)

_OWN_MEMBERS = frozenset({"pdu_id", "context", "pdu_type"})
_LATER_MEMBERS = frozenset({"event_id", "room_id"})


def is_unsigned_2014(pdu: Json) -> bool:
    """Whether a PDU has the members that only the unsigned ones of 2014 have."""
    return pdu.keys() >= _OWN_MEMBERS and pdu.keys().isdisjoint(_LATER_MEMBERS)


def check_unsigned_2014(pdu: Json, origin: ServerName) -> None:
    """Check the members of such a PDU, and that it is of `origin`.

    Raises `BadJson` and `InvalidParam` for its members, `TooLarge` for its size.
    """
    length = len(encode(pdu))
    if length > MAX_EVENT_BYTES:
        raise TooLarge(f"the PDU has {length} bytes; the limit is {MAX_EVENT_BYTES}")
    for member in sorted(_OWN_MEMBERS):
        if len(as_text(pdu[member], f"`{member}`").encode()) > MAX_ID_BYTES:
            raise BadJson(f"`{member}` has more than {MAX_ID_BYTES} bytes")
    parse_room_id(as_text(pdu["context"], "`context`"))
    as_object(pdu.get("content", MISSING), "`content`")
    # The server that created it; a state PDU also names the user.
    if as_text(pdu.get("origin", MISSING), "`origin`") != origin.name:
        raise _foreign("`origin`", pdu["origin"], origin)
    if "user_id" in pdu:
        user_id = UserId.parse(as_text(pdu["user_id"], "`user_id`"))
        if user_id.server_name != origin:
            raise _foreign("`user_id`", user_id.user_id, origin)


def _foreign(what: str, value: object, origin: ServerName) -> InvalidParam:
    return InvalidParam(
        f"an unsigned PDU of 2014 is accepted from its own server alone; {what} is "
        f"{quote(value)}, but the transaction is of {origin}"
    )

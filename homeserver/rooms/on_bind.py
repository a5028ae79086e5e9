"""A third-party identifier is bound to a user of ours: its invites become ours.

Rules: identity servers tell us without a signature, so what this causes is small. The
user is one of ours that is known, a request has few invites, and its client pays for
each server that is asked. What is signed is checked by the server of the room, which
has the key; here it is passed on.

Specification: Server-server API, "Third-party invites".
"""

from collections.abc import Callable
from contextlib import suppress

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.inbound.signed_requests import cause_of
from homeserver.net.cause import Cause
from homeserver.outbound.calls import Call
from homeserver.outbound.client import Limits
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.targets import federation_target
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import (
    Json,
    as_list,
    as_object,
    as_text,
    parse_object,
)
from homeserver.protocol.errors import (
    MISSING,
    InvalidParam,
    MissingParam,
    NotFound,
    ProtocolError,
    TooLarge,
    quote,
)
from homeserver.protocol.identifiers import UserId, parse_room_id
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.resident import Resident

_MAX_INVITES = 10
_MAX_BYTES = 65_536  # an invite has about a thousand
_LIMITS = Limits(100_000, 10.0)  # seconds: the identity server waits for them

_ROUTE = "/_matrix/federation/v1/exchange_third_party_invite/{roomId}"


def admit(request: Request) -> None:
    """Raise `TooLarge` for a body that no right request has."""
    length = request.getHeader(b"Content-Length")
    if length is not None and int(length) > _MAX_BYTES:
        raise _too_large()


async def bound(
    request: Request, resident: Resident, is_known: Callable[[str], bool]
) -> Reply:
    """PUT 3pid/onbind: ask for the invites of a user of ours.

    `is_known` is whether there is a user of that ID. An invite that its server refuses
    is passed over.
    """
    data = b"" if request.content is None else request.content.read()
    if len(data) > _MAX_BYTES:  # it came in chunks
        raise _too_large()
    content = parse_object(data)
    for name in ("medium", "address", "mxid", "invites"):
        if name not in content:
            raise MissingParam(f"the body has no `{name}`")
    user = UserId.parse(as_text(content["mxid"], "`mxid`"))
    if not is_known(user.user_id):
        raise NotFound(f"there is no user {quote(user.user_id)} here")
    invites = as_list(content["invites"], "`invites`")
    if len(invites) > _MAX_INVITES:
        raise InvalidParam(f"`invites` has more than {_MAX_INVITES} entries")
    wanted = [_read(each, user) for each in invites]
    for sender, pdu in wanted:
        with suppress(ProtocolError, Refused, Unreachable):
            await _exchange(resident, sender, pdu, cause_of(request))
    return json_reply({})


def _too_large() -> TooLarge:
    return TooLarge(f"the body has at most {_MAX_BYTES} bytes")


def _read(invite: object, user: UserId) -> tuple[UserId, Json]:
    """The sender of an invite, and what its server is asked for."""
    found = as_object(invite, "an entry of `invites`")
    sender = UserId.parse(as_text(found.get("sender", MISSING), "`sender`"))
    room_id = parse_room_id(as_text(found.get("room_id", MISSING), "`room_id`"))
    signed = as_object(found.get("signed", MISSING), "`signed`")
    for name, told in [
        ("mxid", found.get("mxid", MISSING)),
        ("signed.mxid", signed.get("mxid", MISSING)),
    ]:
        if told != user.user_id:
            raise InvalidParam(f"`{name}` is {quote(told)}, not the user that is bound")
    third_party: Json = {
        "display_name": user.user_id.partition(":")[0],
        "signed": signed,
    }
    return sender, {
        "type": "m.room.member",
        "room_id": room_id,
        "sender": sender.user_id,
        "state_key": user.user_id,
        "content": {"membership": "invite", "third_party_invite": third_party},
    }


async def _exchange(
    resident: Resident, sender: UserId, pdu: Json, cause: Cause
) -> None:
    room_id = parse_room_id(as_text(pdu["room_id"], "`room_id`"))
    if sender.server_name == resident.server_name:
        await resident.rooms.check_space()
        content = as_object(pdu["content"], "`content`")
        user_id = as_text(pdu["state_key"], "`state_key`")
        await resident.rooms.send(
            room_id, NewEvent("m.room.member", sender, content, user_id)
        )
        return
    call = Call(
        method="PUT",
        path=federation_target("exchange_third_party_invite", room_id),
        route=_ROUTE,
        content=pdu,
        limits=_LIMITS,
    )
    await resident.calls.ask(sender.server_name, call, cause)

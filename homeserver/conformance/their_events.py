"""Events that come from the target: their form, hashes and signatures.

Rules: everything in them may be of any shape. Only those that users of the target sent
can be verified to the end, because its keys are known here.

Specification: Server-server API, "Checks performed on receipt of a PDU"; Room Versions.
"""

from collections.abc import Iterable, Mapping

from homeserver.conformance.documents import as_json, own_document, usable_keys
from homeserver.conformance.reply import shown
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey, event_signatures, verify

Keys = Mapping[KeyId, VerifyKey]


async def keys_of_target(t: Target) -> Keys:
    """The keys that the target publishes; raises `NoAnswer` and `NotTestable`."""
    return usable_keys(await own_document(t))


def parsed(pdu: object, version: RoomVersion) -> Event | None:
    """An event; None for what is none of its version."""
    if not isinstance(pdu, dict):
        return None
    try:
        return Event.parse(pdu, version)
    except ProtocolError:
        return None


def is_signed_by(event: Event, server: ServerName, keys: Keys) -> bool:
    """Whether an event has a right signature of a server, and no wrong one."""
    try:
        verify(event.signed, event_signatures(event.pdu, server), keys, "the event")
    except ProtocolError:
        return False
    return True


def problem_in(
    pdu: object, version: RoomVersion, server: ServerName, keys: Keys
) -> str | None:
    """What is wrong with an event, in words; None if nothing is.

    Signatures of other servers than `server` are not looked at.
    """
    if not isinstance(pdu, dict):
        return f"{shown(str(pdu))} is no object"
    try:
        event = Event.parse(pdu, version)
    except ProtocolError as problem:
        return f"{shown(str(pdu.get('type')))}: {problem}"
    name = f"{event.type} {event.event_id}"
    if not event.content_hash_matches:
        return f"{name} has another content hash"
    is_theirs = event.sender.server_name == server
    if is_theirs and not is_signed_by(event, server, keys):
        return f"{name} has no right signature of {server}"
    return None


def events_of(pdus: Iterable[object], version: RoomVersion) -> list[Event]:
    """The events among what a reply has; the rest is left out."""
    found = (parsed(each, version) for each in pdus)
    return [each for each in found if each is not None]


def templates_event(content: Json) -> Json:
    """The event of a template; empty in place of anything else."""
    return as_json(content.get("event"))

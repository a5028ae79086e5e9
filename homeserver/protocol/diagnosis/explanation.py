"""Whether what an author gives verifies, and if not, what has to change.

Rules: everything that is looked at is given: nothing is fetched. What cannot be checked
without more is said, and does not count as verified.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from homeserver.protocol.diagnosis.event_ids import diagnose_event_id
from homeserver.protocol.diagnosis.events import Keys, diagnose_event
from homeserver.protocol.diagnosis.headers import diagnose_destination, diagnose_header
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.diagnosis.key_documents import diagnose_key_document
from homeserver.protocol.diagnosis.material import (
    GivenDocument,
    GivenEvent,
    Material,
    RawRequest,
)
from homeserver.protocol.diagnosis.request_parts import ReceivedRequest
from homeserver.protocol.diagnosis.requests import diagnose_request
from homeserver.protocol.errors import BadAuthorization, ProtocolError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import DEFAULT_ROOM_VERSION, RoomVersion
from homeserver.protocol.events.version_inference import infer_room_versions
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.slices import run
from homeserver.protocol.xmatrix import Authorization

Kind = Literal["request", "event", "key-document"]


class Findings(Struct, frozen=True):
    """What was found."""

    kind: Kind
    hints: Sequence[Hint] = ()
    unchecked: Sequence[str] = ()
    """What was not checked, a sentence each."""

    room_version: str | None = None
    """Of an event: the version that it was looked at as."""

    event_id: str | None = None
    """Of an event: its ID in that version."""

    @property
    def verifies(self) -> bool:
        """Whether everything was checked and is right."""
        return not self.hints and not self.unchecked


class Given(Struct, frozen=True):
    """What is known beside the material."""

    now_ts: int
    """In milliseconds since 1970."""

    keys: Keys = {}
    origin: ServerName | None = None
    destination: ServerName | None = None
    room_version: RoomVersion | None = None
    event_id: str | None = None
    """The ID that a peer has for the event."""


def explain(material: Material, given: Given) -> Findings:
    """Whether `material` verifies, and if not, why."""
    if isinstance(material, RawRequest):
        return _explain_request(material, given)
    if isinstance(material, GivenEvent):
        return _explain_event(material, given)
    return _explain_document(material, given)


def _explain_request(request: RawRequest, given: Given) -> Findings:
    parsed: list[Authorization] = []
    for header in request.authorizations:
        try:
            parsed.append(Authorization.parse(header))
        except BadAuthorization as problem:
            unknown = Hint("header-missing", str(problem))
            return Findings("request", diagnose_header(header) or [unknown])
    if not parsed:
        text = "the request has no Authorization header; sign it"
        return Findings("request", [Hint("header-missing", text)])
    [first, *_] = parsed
    own_name = given.destination or first.destination or _host(request)
    if own_name is None:
        return Findings(
            "request", unchecked=["the signature: for which server? Give --destination"]
        )
    hints = diagnose_destination(first, own_name)
    keys = given.keys.get(first.origin, ())
    if not keys:
        missing = f"the signature: --keys has no keys of {first.origin}"
        return Findings("request", hints, [missing])
    in_header = None if first.destination is None else first.destination.name
    named = (request.host, in_header)
    received = ReceivedRequest(
        request.method,
        request.uri,
        request.body,
        own_name,
        [name for name in named if name is not None],
    )
    return Findings("request", [*hints, *run(diagnose_request(received, parsed, keys))])


def _host(request: RawRequest) -> ServerName | None:
    try:
        return None if request.host is None else ServerName.parse(request.host)
    except ProtocolError:
        return None


def _explain_event(event: GivenEvent, given: Given) -> Findings:
    found = [
        _as_of(event, room_version, given)
        for room_version in _room_versions(event, given)
    ]
    # What verifies in one of the versions is of that version.
    return min(found, key=lambda each: len(each.hints))


def _room_versions(event: GivenEvent, given: Given) -> Sequence[RoomVersion]:
    if given.room_version is not None:
        return [given.room_version]
    try:
        possible = infer_room_versions(event.pdu, None, DEFAULT_ROOM_VERSION)
    except ProtocolError:
        return [DEFAULT_ROOM_VERSION]
    return [each.room_version for each in possible]


def _as_of(event: GivenEvent, room_version: RoomVersion, given: Given) -> Findings:
    hints = run(diagnose_event(event.pdu, room_version, given.keys))
    if given.event_id is not None:
        hints += run(diagnose_event_id(event.pdu, room_version, given.event_id))
    own_id, unchecked = None, []
    try:
        parsed = Event.parse(event.pdu, room_version)
    except ProtocolError:
        pass
    else:
        own_id = parsed.event_id
        unchecked = [
            f"the signature of {name}: --keys has no keys of it"
            for name in sorted(parsed.required_signers, key=str)
            if name not in given.keys
        ]
    return Findings("event", hints, unchecked, room_version.version, own_id)


def _explain_document(document: GivenDocument, given: Given) -> Findings:
    server_name = given.origin
    if server_name is None:
        try:
            server_name = ServerName.parse(document.server_name or "")
        except ProtocolError as problem:
            hint = Hint("document-member", f"`server_name`: {problem}")
            return Findings("key-document", [hint])
    hints = run(
        diagnose_key_document(
            document.data,
            server_name,
            1 if document.has_certificate else 2,
            given.now_ts,
        )
    )
    return Findings("key-document", hints)

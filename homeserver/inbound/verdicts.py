"""A PDU on its way to its verdict: what it may be, what it claims, what is proven.

Rules of the room: no network, no clock, no store. A PDU does not say of which room
version it is; it is judged by the first one that its servers prove to have signed.

Specification: Server-server API, "Checks performed on receipt of a PDU", the first
three.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from homeserver.protocol.assumptions import Assumption, Basis, assume_room_versions
from homeserver.protocol.canonical import Json, as_text, encode
from homeserver.protocol.errors import ProtocolError, Unauthorized
from homeserver.protocol.events import Event, event_id, redact
from homeserver.protocol.names import (
    EventId,
    KeyId,
    RoomId,
    ServerName,
    parse_room_id,
)
from homeserver.protocol.room_versions import RoomVersion
from homeserver.protocol.signing import (
    Signatures,
    VerifyKey,
    parse_signatures,
    verify,
)
from homeserver.storage.received import REJECTED, JudgedPdu


class Claim(Struct):
    """That a PDU is a certain event, of a certain room version."""

    draft: "Draft"
    event: Event
    basis: Basis
    """What the room version rests on."""

    signatures: Mapping[ServerName, Signatures]
    """Of the servers of which each must have signed."""

    keys: dict[ServerName, Mapping[KeyId, VerifyKey]] = field(default_factory=dict)
    problem: str | None = None

    def verify(self) -> str | None:
        """Why not all servers that must have signed have; None if they have."""
        for name, signatures in self.signatures.items():
            if name not in self.keys:
                return f"the keys of {name} were not to be had in time"
            what = f"event {self.event.event_id} by {name}"
            try:
                verify(self.event.signed, signatures, self.keys[name], what)
            except ProtocolError as problem:
                return str(problem)
        return None


class Draft:
    """A PDU on its way to its verdict."""

    def __init__(self, pdu: Json) -> None:
        self.pdu = pdu
        self.verdict: JudgedPdu | None = None
        self._candidates: Sequence[Assumption] = ()
        self._tried = 0
        self._problems: list[str] = []

    @property
    def room_id(self) -> RoomId | None:
        """The room that it says it belongs to; None where it says nothing usable."""
        try:
            return parse_room_id(as_text(self.pdu.get("room_id"), "`room_id`"))
        except ProtocolError:
            return None

    @property
    def is_create(self) -> bool:
        """Whether it may be the create event of a room."""
        return self.pdu.get("type") == "m.room.create"

    def choose(self, versions: Mapping[RoomId, str], default: RoomVersion) -> None:
        """Find the room versions that it may be of; `versions` are those of rooms."""
        room_id = self.room_id
        recorded = None if room_id is None else versions.get(room_id)
        try:
            self._candidates = assume_room_versions(self.pdu, recorded, default)
        except ProtocolError as problem:
            self._problems.append(str(problem))

    def next_claim(self) -> Claim | None:
        """What it claims to be by the next version of which it has the form, if any."""
        while self.verdict is None and self._tried < len(self._candidates):
            assumption = self._candidates[self._tried]
            self._tried += 1
            try:
                event = Event.parse(self.pdu, assumption.room_version)
                return Claim(
                    self,
                    event,
                    assumption.basis,
                    _required_signatures(event),
                )
            except ProtocolError as problem:
                self._problems.append(str(problem))
        return None

    def settle(self, claim: Claim) -> None:
        """Take what came of a claim."""
        if claim.problem is not None:
            self._problems.append(claim.problem)
        else:
            self.verdict = _judge_hash(claim)

    def conclude(self) -> JudgedPdu:
        """The verdict; that of a PDU that proved nothing says why."""
        if self.verdict is not None:
            return self.verdict
        reason = f"{REJECTED}: {self._problems[0]}"
        if not self._candidates:
            return JudgedPdu(None, None, reason, encode(self.pdu))
        first = self._candidates[0]
        if len(self._candidates) > 1:
            tried = [each.room_version.version for each in self._candidates]
            reason += (
                f" (as of room version {tried[0]}, and not of {', '.join(tried[1:])} "
                "either; the create event of its room is not known here)"
            )
        own_id = _event_id_or_none(self.pdu, first.room_version)
        version = first.room_version.version
        return JudgedPdu(own_id, version, reason, encode(self.pdu), first.basis)


def _required_signatures(event: Event) -> Mapping[ServerName, Signatures]:
    """The signatures of each server that must have signed; raises `ProtocolError`."""
    if not event.required_signers:
        raise Unauthorized(
            "an invitation by a third party is proven by the state of its room, "
            "which is not kept here"
        )
    return {
        name: parse_signatures(event.pdu, name)
        for name in sorted(event.required_signers, key=str)
    }


def _judge_hash(claim: Claim) -> JudgedPdu:
    """The verdict on an event whose signatures are good."""
    event = claim.event
    own_id, version = event.event_id, event.room_version.version
    if event.has_its_content_hash:
        return JudgedPdu(
            own_id, version, "accepted", event.encoded, claim.basis, event.founds
        )
    redacted = encode(redact(event.pdu, event.room_version))
    return JudgedPdu(own_id, version, "redacted: content hash", redacted, claim.basis)


def _event_id_or_none(pdu: Json, room_version: RoomVersion) -> EventId | None:
    try:
        return event_id(pdu, room_version)
    except ProtocolError:
        return None

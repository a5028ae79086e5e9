"""A received PDU parsed as an event of one possible room version: its signatures.

Rules: no network, no clock, no store. The caller sets the keys, runs `verify`, and then
reads `problem` and `verdict`.

Specification: Server-server API, "Checks performed on receipt of a PDU", the first
three.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from homeserver.keys.signed_event import SignedEvent
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import Event, redact
from homeserver.protocol.events.room_versions import unknown_room_version
from homeserver.protocol.events.version_inference import PossibleVersion
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import Signatures, VerifyKey, verifications
from homeserver.storage.judged_pdus import REJECTED, JudgedPdu


class VersionAttempt(Struct):
    """A PDU parsed as an event of one possible room version."""

    event: Event
    possible: PossibleVersion
    signatures: Mapping[ServerName, Signatures]
    """The signatures to verify, by server; empty for a server that has not signed."""

    are_optional: bool = False
    """Whether the event is accepted without these signatures."""

    known_signers: frozenset[ServerName] = frozenset()
    """The servers whose signatures over this event were verified before."""

    keys: dict[ServerName, Mapping[KeyId, VerifyKey]] = field(default_factory=dict)
    """The keys of each server; a server is missing if its fetch timed out."""

    problem: str | None = None
    """Why `verify` failed; None if it did not."""

    unverified: list[ServerName] = field(default_factory=list)
    """Known signers for whose signatures on this copy no key was found."""

    @property
    def unproven(self) -> list[ServerName]:
        """The servers whose keys are needed."""
        if not self.known_signers:
            return list(self.signatures)
        return [
            name
            for name, signatures in self.signatures.items()
            if signatures or name not in self.known_signers
        ]

    def signed_by(self, name: ServerName) -> SignedEvent:
        """What decides which keys of a server are needed."""
        event = self.event
        return SignedEvent(
            self.signatures[name].keys(), event.origin_server_ts, event.room_version
        )

    def verify(self) -> Iterator[None]:
        """Verify the signatures, one in each step; set `problem` to the first failure.

        An event of the largest size has room for some six hundred.
        """
        for name in self.unproven:
            keys = self.keys.get(name)
            is_verifiable = keys is not None and self.signatures[name].keys() & keys
            if name in self.known_signers and not is_verifiable:
                self.unverified.append(name)
                continue
            if keys is None:
                self.problem = f"timed out fetching the keys of {name}"
                return
            what = f"event {self.event.event_id} by {name}"
            try:
                for _ in verifications(
                    self.event.signed, self.signatures[name], keys, what
                ):
                    yield
            except ProtocolError as problem:
                self.problem = str(problem)
                return

    @property
    def verdict(self) -> JudgedPdu:
        """The verdict if the signatures are accepted."""
        event, named = self.event, self.possible.unknown_version
        if named is not None:
            room_id = event.created_room_id
            room = None if room_id is None else (room_id, named)
            reason = f"{REJECTED}: {unknown_room_version(named)}"
            return JudgedPdu(None, None, reason, encode(event.pdu), created_room=room)
        version, verdict, room = event.room_version.version, "accepted", None
        if not event.content_hash_matches:
            verdict = "redacted: content hash"
            event = Event.parse(
                redact(event.pdu, event.room_version), event.room_version
            )
        elif (room_id := event.created_room_id) is not None:
            room = (room_id, version)
        return JudgedPdu(
            event.event_id,
            version,
            _with_remark(verdict, self._remark),
            event.encoded,
            self.possible.source,
            room,
            self._new_signers,
            event,
        )

    @property
    def _remark(self) -> str | None:
        """A note on signatures that did not verify and are not needed."""
        if self.problem is not None and any(self.signatures.values()):
            return f"a third-party invite needs no signature; {self.problem}"
        if self.unverified:
            names = ", ".join(map(str, self.unverified))
            return (
                f"known by its ID; the signatures of {names} on this copy were not "
                "verified, as their keys are missing"
            )
        return None

    @property
    def _new_signers(self) -> frozenset[ServerName]:
        if self.problem is not None or not self.event.id_is_hash:
            return frozenset()
        return frozenset(self.signatures.keys() - self.known_signers)


def _with_remark(verdict: str, remark: str | None) -> str:
    if remark is None:
        return verdict
    return f"{verdict}{';' if ':' in verdict else ':'} {remark}"

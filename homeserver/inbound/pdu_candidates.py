"""A PDU on its way to its verdict: what it may be, what it claims, what is proven.

Rules: no network, no clock, no store. A PDU does not say of which room version it is;
it is judged by the first one that its servers prove to have signed.

Each version that a PDU may be of makes a claim, one after the other:

- its form is not that version's: there is no claim, and the next version is tried;
- a signature is missing or bad: the claim is rejected, and the next version is tried;
- a third-party invite needs no signature in most versions. Its sender's, where it has
  one, tells the version; if it fits none, the first claim stands all the same;
- an event that was verified before is known by its ID, which covers what was signed.
  Signatures that come with a copy are verified again, if there are keys for them.

Specification: Server-server API, "Checks performed on receipt of a PDU", the first
three.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import Json, as_text, encode
from homeserver.protocol.errors import InvalidParam, ProtocolError
from homeserver.protocol.events.event import MAX_EVENT_BYTES, Event, event_id, redact
from homeserver.protocol.events.room_versions import RoomVersion, unknown_room_version
from homeserver.protocol.events.unsigned_2014 import check_unsigned_2014
from homeserver.protocol.events.version_inference import (
    Assumption,
    VersionSource,
    assume_room_versions,
)
from homeserver.protocol.identifiers import (
    EventId,
    KeyId,
    RoomId,
    ServerName,
    parse_room_id,
)
from homeserver.protocol.signing import (
    Signatures,
    VerifyKey,
    parse_signatures,
    verify,
)
from homeserver.storage.judged_pdus import REJECTED, UNSIGNED, JudgedPdu

_EVENT_ID = re.compile(r"\$[A-Za-z0-9_+/-]+")


class Claim(Struct):
    """That a PDU is a certain event, of a certain room version."""

    draft: "Draft"
    event: Event
    assumption: Assumption
    signatures: Mapping[ServerName, Signatures]
    """Of the servers whose signatures are looked at."""

    is_waived: bool = False
    """Whether these need not have signed."""

    known_signers: frozenset[ServerName] = frozenset()
    """The servers whose signatures of this very event were verified before."""

    keys: dict[ServerName, Mapping[KeyId, VerifyKey]] = field(default_factory=dict)
    problem: str | None = None
    unverified: list[ServerName] = field(default_factory=list)
    """Known signers whose signatures on this copy could not be verified."""

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

    def verify(self) -> None:
        """Look at the signatures, and set what is wrong with them, if anything is."""
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
                verify(self.event.signed, self.signatures[name], keys, what)
            except ProtocolError as problem:
                self.problem = str(problem)
                return

    @property
    def verdict(self) -> JudgedPdu:
        """The verdict on an event that is signed as it has to be."""
        event, named = self.event, self.assumption.unknown_version
        if named is not None:
            room_id = event.created_room_id
            room = None if room_id is None else (room_id, named)
            reason = f"{REJECTED}: {unknown_room_version(named)}"
            return JudgedPdu(None, None, reason, encode(event.pdu), created_room=room)
        version, verdict, room = event.room_version.version, "accepted", None
        encoded = event.encoded
        if not event.content_hash_matches:
            verdict = "redacted: content hash"
            encoded = encode(redact(event.pdu, event.room_version))
        elif (room_id := event.created_room_id) is not None:
            room = (room_id, version)
        return JudgedPdu(
            event.event_id,
            version,
            _with_remark(verdict, self._remark),
            encoded,
            self.assumption.source,
            room,
            self._new_signers,
        )

    @property
    def _remark(self) -> str | None:
        """What the verdict has to say of signatures that came and were not needed."""
        if self.problem is not None and any(self.signatures.values()):
            return f"a third-party invite needs no signature; {self.problem}"
        if self.unverified:
            names = ", ".join(map(str, self.unverified))
            return (
                f"known by its ID; without keys, the signatures of {names} on this "
                "copy were not verified"
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


class Draft:
    """A PDU on its way to its verdict."""

    def __init__(self, pdu: Json) -> None:
        self.pdu = pdu
        self.verdict: JudgedPdu | None = None
        self.room_id = _room_id_or_none(pdu)
        """The room that it says it belongs to; None where it says nothing usable."""

        self._assumptions: Sequence[Assumption] = ()
        self._recorded: str | None = None
        self._tried = 0
        self._has_some_form = False
        self._problems: list[str] = []
        self._waived: Claim | None = None
        self._is_flawed = isinstance(pdu, FlawedItem)
        if isinstance(pdu, FlawedItem):
            self._problems.append(pdu.problem)

    @property
    def is_create(self) -> bool:
        """Whether it may be the create event of a room."""
        return self.pdu.get("type") == "m.room.create"

    def judge_unsigned(self, origin: ServerName, *, are_taken: bool) -> None:
        """Judge an unsigned PDU of 2014, which came in a transaction of `origin`."""
        if self._is_flawed:
            return
        verdict = UNSIGNED
        try:
            if not are_taken:
                raise InvalidParam("unsigned PDUs of 2014 are not taken here")
            check_unsigned_2014(self.pdu, origin)
        except ProtocolError as problem:
            verdict = f"{REJECTED}: {problem}"
        self.verdict = JudgedPdu(None, None, verdict, encode(self.pdu))

    def choose(self, versions: Mapping[RoomId, str], default: RoomVersion) -> None:
        """Find the room versions that it may be of; `versions` are those of rooms."""
        if self.room_id is not None:
            self._recorded = versions.get(self.room_id)
        try:
            self._assumptions = assume_room_versions(self.pdu, self._recorded, default)
        except ProtocolError as problem:
            self._problems.append(str(problem))

    def next_claim(self) -> Claim | None:
        """What it claims to be by the next version of which it has the form, if any."""
        if self._is_flawed:
            return None
        while self.verdict is None and self._tried < len(self._assumptions):
            assumption = self._assumptions[self._tried]
            self._tried += 1
            try:
                return self._claim(assumption)
            except ProtocolError as problem:
                self._problems.append(str(problem))
        return None

    def _claim(self, assumption: Assumption) -> Claim:
        event = Event.parse(self.pdu, assumption.room_version)
        self._has_some_form = True
        signers = event.required_signers
        is_waived = not signers
        signatures = {
            name: parse_signatures(event.pdu, name)
            for name in sorted(signers or {event.sender.server_name}, key=str)
        }
        return Claim(self, event, assumption, signatures, is_waived)

    def settle(self, claim: Claim) -> None:
        """Take what came of a claim."""
        if claim.problem is None:
            self.verdict = claim.verdict
        elif claim.is_waived:
            self._waived = self._waived or claim
        else:
            self._problems.append(claim.problem)

    def conclude(self) -> JudgedPdu:
        """The verdict; that of a PDU that proved nothing says why."""
        if self.verdict is not None:
            return self.verdict
        if self._waived is not None:
            return self._waived.verdict
        return self._rejected()

    def _rejected(self) -> JudgedPdu:
        event, reason = self._event, f"{REJECTED}: {_joined(self._problems)}"
        if self._is_flawed:
            return JudgedPdu(self._likely_id, None, reason, event)
        if not self._assumptions:
            if self._recorded is None or self.is_create:
                return JudgedPdu(None, None, reason, event)
            # A version that is not known here.
            source = VersionSource.CREATE_EVENT
            return JudgedPdu(None, self._recorded, reason, event, source)
        first, own_id = self._assumptions[0], self._likely_id
        if first.unknown_version is not None:
            reason = f"{REJECTED}: {unknown_room_version(first.unknown_version)}"
            return JudgedPdu(None, None, reason, event)
        tried = [each.room_version.version for each in self._assumptions]
        if len(set(tried)) == 1:
            return JudgedPdu(own_id, tried[0], reason, event, first.source)
        if self._has_some_form or len(set(self._problems)) > 1:
            reason += (
                f" (it was judged as of room versions {', '.join(tried)}, and fits "
                "none; the create event of its room is not known here)"
            )
        return JudgedPdu(own_id, None, reason, event)

    @property
    def _event(self) -> bytes:
        """What is recorded of it: itself, or its text where it cannot be read again."""
        return encode(self.pdu.text if isinstance(self.pdu, FlawedItem) else self.pdu)

    @property
    def _likely_id(self) -> EventId | None:
        """Its ID as of the version tried first, by which its sender may know it."""
        if not self.pdu or not self._assumptions:
            return None
        if isinstance(self.pdu, FlawedItem) and len(self.pdu.text) > MAX_EVENT_BYTES:
            return None  # long integers take long to write
        try:
            return event_id(self.pdu, self._assumptions[0].room_version)
        except ProtocolError:
            return None


def _room_id_or_none(pdu: Json) -> RoomId | None:
    try:
        return parse_room_id(as_text(pdu.get("room_id"), "`room_id`"))
    except ProtocolError:
        return None


def _joined(problems: Sequence[str]) -> str:
    """The problems, each kind once: the event IDs differ from version to version."""
    kinds = {_EVENT_ID.sub("$", problem): problem for problem in reversed(problems)}
    return "; or: ".join(reversed(kinds.values()))

"""A received PDU on its way to a verdict: possible versions, signatures, content hash.

Rules: no network, no clock, no store. A PDU does not name its room version; the verdict
is that of the first possible version for which all required signatures verify.

Theory of operation. A `PduCandidate` tries the possible versions in order. Each try is
a `VersionAttempt`: the caller sets its keys, calls `verify` and hands it to `record`.

| finding                                | effect                                     |
|----------------------------------------|--------------------------------------------|
| the format is not that version's       | no attempt; next version                   |
| a required signature is missing or bad | the problem is kept; next version          |
| all required signatures verify         | the verdict of this version; done          |
| an optional signature does not verify  | the attempt is the fallback; next version  |

With no version left, the first fallback gives the verdict, or else the PDU is rejected
with all problems. Only a third-party invite has optional signatures.

An event that was verified before is recognised by its ID, a hash of what its servers
sign. Signatures on a copy are verified again; a missing key does not reject the copy.

Specification: Server-server API, "Checks performed on receipt of a PDU", the first
three.
"""

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter

from homeserver.inbound.version_attempt import VersionAttempt
from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import Json, as_text, encode
from homeserver.protocol.errors import MISSING, InvalidParam, ProtocolError
from homeserver.protocol.events.event import MAX_EVENT_BYTES, Event, event_id
from homeserver.protocol.events.room_versions import RoomVersion, unknown_room_version
from homeserver.protocol.events.unsigned_2014 import check_unsigned_2014
from homeserver.protocol.events.version_inference import (
    PossibleVersion,
    VersionSource,
    infer_room_versions,
)
from homeserver.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    parse_room_id,
)
from homeserver.protocol.signing import (
    event_signatures,
)
from homeserver.storage.judged_pdus import REJECTED, UNSIGNED, JudgedPdu

_NAME = attrgetter("name")

_EVENT_ID = re.compile(r"\$[A-Za-z0-9_+/-]+")


class PduCandidate:
    """A received PDU without a verdict yet."""

    def __init__(self, pdu: Json) -> None:
        self.pdu = pdu
        self.verdict: JudgedPdu | None = None
        """Set once a check or an attempt has succeeded."""

        self.room_id = _room_id_or_none(pdu)
        """The room ID in the PDU; None if it has none that is valid."""

        self._possible: Sequence[PossibleVersion] = ()
        self._recorded: str | None = None
        self._tried = 0
        self._has_valid_format = False
        self._problems: list[str] = []
        self._fallback: VersionAttempt | None = None
        self._is_flawed = isinstance(pdu, FlawedItem)
        if isinstance(pdu, FlawedItem):
            self._problems.append(pdu.problem)

    @property
    def is_create(self) -> bool:
        """Whether the PDU has the type of a create event."""
        return self.pdu.get("type") == "m.room.create"

    @property
    def likely_version(self) -> RoomVersion | None:
        """The room version that its sender most likely means; None if unknown."""
        if self._is_flawed or not self._possible:
            return None
        first = self._possible[0]
        return None if first.unknown_version is not None else first.room_version

    def check_unsigned(self, origin: ServerName, *, are_accepted: bool) -> None:
        """Set the verdict on an unsigned PDU of 2014 in a transaction of `origin`."""
        if self._is_flawed:
            return
        verdict = UNSIGNED
        try:
            if not are_accepted:
                raise InvalidParam("unsigned PDUs of 2014 are not accepted here")
            check_unsigned_2014(self.pdu, origin)
        except ProtocolError as problem:
            verdict = f"{REJECTED}: {problem}"
        self.verdict = JudgedPdu(None, None, verdict, encode(self.pdu))

    def infer_versions(self, rooms: Mapping[RoomId, str], default: RoomVersion) -> None:
        """List the possible room versions; `rooms` has the version of known rooms."""
        if self.room_id is not None:
            self._recorded = rooms.get(self.room_id)
        try:
            self._possible = infer_room_versions(self.pdu, self._recorded, default)
        except ProtocolError as problem:
            self._problems.append(str(problem))

    def next_attempt(self) -> VersionAttempt | None:
        """An attempt for the next version whose format the PDU has, if any."""
        if self._is_flawed:
            return None
        while self.verdict is None and self._tried < len(self._possible):
            possible = self._possible[self._tried]
            self._tried += 1
            try:
                return self._attempt(possible)
            except ProtocolError as problem:
                self._problems.append(str(problem))
        return None

    def _attempt(self, possible: PossibleVersion) -> VersionAttempt:
        event = Event.parse(self.pdu, possible.room_version)
        self._has_valid_format = True
        signers = event.required_signers
        signatures = {
            name: event_signatures(event.pdu, name)
            for name in sorted(signers or {event.sender.server_name}, key=_NAME)
        }
        return VersionAttempt(event, possible, signatures, not signers)

    def record(self, attempt: VersionAttempt) -> None:
        """Take in the result of an attempt whose `verify` was called."""
        if attempt.problem is None:
            self.verdict = attempt.verdict
        elif attempt.are_optional:
            self._fallback = self._fallback or attempt
        else:
            self._problems.append(attempt.problem)

    def final_verdict(self) -> JudgedPdu:
        """The verdict once no attempt is left."""
        if self.verdict is not None:
            return self.verdict
        if self._fallback is not None:
            return self._fallback.verdict
        return self._rejected()

    def _rejected(self) -> JudgedPdu:
        event, reason = self._event, f"{REJECTED}: {_joined(self._problems)}"
        if self._is_flawed:
            return JudgedPdu(self._likely_id, None, reason, event)
        if not self._possible:
            if self._recorded is None or self.is_create:
                return JudgedPdu(None, None, reason, event)
            # The create event of the room names a version that is not known here.
            source = VersionSource.CREATE_EVENT
            return JudgedPdu(None, self._recorded, reason, event, source)
        first, own_id = self._possible[0], self._likely_id
        if first.unknown_version is not None:
            reason = f"{REJECTED}: {unknown_room_version(first.unknown_version)}"
            return JudgedPdu(None, None, reason, event)
        tried = [each.room_version.version for each in self._possible]
        if len(set(tried)) == 1:
            return JudgedPdu(own_id, tried[0], reason, event, first.source)
        if self._has_valid_format or len(set(self._problems)) > 1:
            reason += (
                f" (checked as of room versions {', '.join(tried)}; valid in none; "
                "the create event of its room is not known here)"
            )
        return JudgedPdu(own_id, None, reason, event)

    @property
    def _event(self) -> bytes:
        """What is recorded: the PDU, or its text where that is not canonical JSON."""
        return encode(self.pdu.text if isinstance(self.pdu, FlawedItem) else self.pdu)

    @property
    def _likely_id(self) -> EventId | None:
        """The event ID as of the first possible version, likely the sender's own."""
        if not self.pdu or not self._possible:
            return None
        if isinstance(self.pdu, FlawedItem) and len(self.pdu.text) > MAX_EVENT_BYTES:
            return None  # Python writes very long integers slowly
        try:
            return event_id(self.pdu, self._possible[0].room_version)
        except ProtocolError:
            return None


def _room_id_or_none(pdu: Json) -> RoomId | None:
    try:
        return parse_room_id(as_text(pdu.get("room_id", MISSING), "`room_id`"))
    except ProtocolError:
        return None


def _joined(problems: Sequence[str]) -> str:
    """Distinct problems; those that differ in the event ID alone count as one."""
    kinds = {_EVENT_ID.sub("$", problem): problem for problem in reversed(problems)}
    return "; or: ".join(reversed(kinds.values()))

"""The checks on the PDUs of a transaction: format, signatures, content hash.

Rules: a bad PDU affects its own verdict alone. Missing keys are fetched from all
servers at once, within a limit that leaves time to answer the sender. The work is done
in slices, so that the reactor serves other requests meanwhile. Signatures are part of
it: threads that verify them cost a third more, by the interpreter's lock.

Specification: Server-server API, "Checks performed on receipt of a PDU", the first
three.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.config.values import Events
from homeserver.inbound.diagnoses import Diagnoses
from homeserver.inbound.pdu_candidates import PduCandidate
from homeserver.inbound.version_attempt import VersionAttempt
from homeserver.keys.keyring import Keyring
from homeserver.net.cause import Cause
from homeserver.net.cooperate import Pace, together
from homeserver.net.time_limit import within
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.diagnosis.hint import as_sentence
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.events import edus
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.unsigned_2014 import is_unsigned_2014
from homeserver.protocol.events.version_inference import PossibleVersion, VersionSource
from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.protocol.signing import event_signatures
from homeserver.storage.judged_pdus import REDACTED, REJECTED, JudgedPdu
from homeserver.storage.received import ReceivedStore

# For the keys of all servers in a transaction; the sender waits a minute for the reply.
_KEYS_SECONDS = 20.0


_MAX_HINTS = 3  # on one PDU


class _Search(Struct):
    """The search for the keys of one transaction's events."""

    cause: Cause
    failed: set[ServerName] = field(default_factory=set)
    """Servers whose keys were not fetched: the next room version asks none again."""

    timed_out: set[ServerName] = field(default_factory=set)
    """Servers whose keys took too long."""


class PduChecker:
    """Gives each PDU of a transaction its verdict."""

    def __init__(
        self,
        store: ReceivedStore,
        keyring: Keyring,
        clock: IReactorTime,
        pace: Pace,
        events: Events,
        diagnoses: Diagnoses | None = None,
    ) -> None:
        """`events` is the configuration's table of that name.

        `diagnoses` explain verdicts; without them, none is explained.
        """
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._pace = pace
        self._events = events
        self._diagnoses = diagnoses

    async def check(
        self,
        pdus: Sequence[Json],
        origin: ServerName,
        cause: Cause,
        given: Mapping[RoomId, str] | None = None,
    ) -> list[JudgedPdu]:
        """The verdicts on the PDUs of one transaction of `origin`, in their order.

        `given` has the versions of rooms that the store may not know.
        """
        if not pdus:
            return []
        candidates = [PduCandidate(pdu) for pdu in pdus]
        for candidate in candidates:
            if is_unsigned_2014(candidate.pdu):
                candidate.check_unsigned(
                    origin, are_accepted=self._events.unsigned_2014
                )
        rooms = {each.room_id for each in candidates if each.room_id is not None}
        versions = await self._store.room_versions(sorted(rooms - set(given or {})))
        versions |= given or {}
        search = _Search(cause)
        # Create events first, wherever they are in the transaction: they name the
        # version of the other events of their rooms.
        creates = [each for each in candidates if each.is_create]
        await self._try_versions(creates, versions, search)
        for candidate in creates:
            created = candidate.final_verdict().created_room
            if created is not None:
                room_id, version = created
                versions.setdefault(room_id, version)
        others = [each for each in candidates if not each.is_create]
        await self._try_versions(others, versions, search)
        return [await self._judge(each, cause) for each in candidates]

    async def check_signature(
        self, event: Event, server_name: ServerName, cause: Cause
    ) -> None:
        """Raise `Forbidden` if a server has not signed an event.

        It is for signatures that `check` does not require: those of invited users'
        servers.
        """
        attempt = VersionAttempt(
            event,
            PossibleVersion(event.room_version, VersionSource.CREATE_EVENT),
            {server_name: event_signatures(event.pdu, server_name)},
        )
        await self._find_keys([attempt], _Search(cause))
        await self._verify(attempt)
        if attempt.problem is not None:
            raise Forbidden(attempt.problem)

    async def check_edu(self, edu: Json, origin: ServerName) -> None:
        """Check the form of an EDU, and that its origin may send it.

        Raises `ProtocolError`.
        """
        edus.check(edu, origin)

    async def _judge(self, candidate: PduCandidate, cause: Cause) -> JudgedPdu:
        """The final verdict, with what the PDU's server has to change."""
        if candidate.verdict is None:
            await self._pace.pause()
        verdict = candidate.final_verdict()
        room_version = candidate.likely_version
        is_fine = verdict.outcome not in {REDACTED, REJECTED}
        if is_fine or self._diagnoses is None or room_version is None:
            return verdict
        hints = await self._diagnoses.of_event(
            candidate.pdu, room_version, cause.client
        )
        said = verdict.verdict
        reason = said.partition(": ")[2]
        if reason and hints and hints[0].text.startswith(reason):
            # It says the same again, and for which room version it is so.
            said = said.removesuffix(reason) + hints[0].text
            hints = hints[1:]
        said += as_sentence(hints[:_MAX_HINTS])
        return replace(verdict, verdict=said)

    async def _try_versions(
        self,
        candidates: Sequence[PduCandidate],
        versions: Mapping[RoomId, str],
        search: _Search,
    ) -> None:
        """Try the possible room versions of each PDU until a verdict is reached."""
        for candidate in candidates:
            candidate.infer_versions(versions, self._events.default_room_version)
        while True:
            tried: list[tuple[PduCandidate, VersionAttempt]] = []
            for candidate in candidates:
                await self._pace.pause()
                attempt = candidate.next_attempt()
                if attempt is not None:
                    tried.append((candidate, attempt))
            if not tried:
                return
            attempts = [attempt for _, attempt in tried]
            await self._find_known_signers(attempts)
            await self._find_keys(attempts, search)
            for candidate, attempt in tried:
                await self._verify(attempt)
                await self._pace.pause()
                candidate.record(attempt)
            candidates = [each for each, _ in tried if each.verdict is None]

    async def _find_known_signers(self, attempts: Sequence[VersionAttempt]) -> None:
        """Set the `known_signers` of each attempt.

        Where the event ID is a hash of what the servers sign, a signature that was
        verified once covers each copy of the event. It does not stand for other
        required signers. Room versions in which the sender chooses the ID have none.
        """
        events = [attempt.event for attempt in attempts]
        named = [
            (each.event_id, each.room_version.version, each.origin_server_ts)
            for each in events
        ]
        known = await self._store.signers(named)
        for attempt, name in zip(attempts, named, strict=True):
            attempt.known_signers = known.get(name, frozenset())

    async def _find_keys(
        self, attempts: Sequence[VersionAttempt], search: _Search
    ) -> None:
        """Set the `keys` of each attempt.

        Keys that the keyring lacks are fetched from all servers at the same time.
        """
        by_server: dict[ServerName, list[VersionAttempt]] = {}
        for attempt in attempts:
            for name in attempt.unproven:
                if name not in search.timed_out:
                    by_server.setdefault(name, []).append(attempt)

        async def find(name: ServerName) -> None:
            events = [attempt.signed_by(name) for attempt in by_server[name]]
            found = await self._keyring.event_keys(
                name, events, search.cause, search.failed
            )
            for attempt, keys in zip(by_server[name], found, strict=True):
                attempt.keys[name] = keys

        async def find_in_time(name: ServerName) -> None:
            await self._pace.pause()  # beginning a fetch takes a millisecond
            try:
                await within(_KEYS_SECONDS, self._clock, find(name))
            except defer.TimeoutError:
                search.timed_out.add(name)

        await together(find_in_time(name) for name in by_server)

    async def _verify(self, attempt: VersionAttempt) -> None:
        for _ in attempt.verify():
            await self._pace.pause()

"""What we make of a PDU: its form, its signatures, its content hash.

Rules of the room: what is wrong with one PDU is that PDU's verdict and nobody else's
error. Keys that are missing are fetched from all servers at once, and not waited for
longer than the sender waits for us.

Specification: Server-server API, "Checks performed on receipt of a PDU", the first
three.
"""

from collections.abc import Mapping, Sequence

from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from homeserver.keyring import Keyring
from homeserver.protocol.canonical import Json
from homeserver.protocol.errors import ProtocolError, Unauthorized
from homeserver.protocol.events import (
    Event,
    event_id,
    possible_room_versions,
    redact,
)
from homeserver.protocol.names import EventId, RoomId, ServerName
from homeserver.protocol.room_versions import RoomVersion
from homeserver.protocol.signing import parse_signatures, signed_bytes, verify
from homeserver.storage.received import REJECTED, JudgedPdu, ReceivedStore

# For the keys of all servers in a transaction; its sender gives us a minute in all.
_KEYS_SECONDS = 20.0


class Judge:
    """Judges the PDUs of transactions."""

    def __init__(
        self, store: ReceivedStore, keyring: Keyring, clock: IReactorTime
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock

    async def judge(self, pdus: Sequence[Json]) -> list[JudgedPdu]:
        """The verdicts on the PDUs of one transaction, in their order."""
        named = {str(pdu["room_id"]) for pdu in pdus if _has_room(pdu)}
        versions = await self._store.room_versions([RoomId(name) for name in named])
        late = await self._fetch_keys(pdus, versions)
        verdicts: list[JudgedPdu] = []
        for pdu in pdus:
            judged = await self._judge(pdu, versions, late)
            if judged.founds is not None and judged.room_version is not None:
                # A create event often comes with the first events of its room.
                versions.setdefault(judged.founds, judged.room_version)
            verdicts.append(judged)
        return verdicts

    async def _judge(
        self,
        pdu: Json,
        versions: Mapping[RoomId, str],
        late: frozenset[ServerName],
    ) -> JudgedPdu:
        """The verdict on one PDU, by the first room version that it proves to be of."""
        try:
            candidates = _candidates(pdu, versions)
        except ProtocolError as problem:
            return JudgedPdu(None, None, f"{REJECTED}: {problem}", pdu)
        problems: list[str] = []
        for room_version in candidates:
            try:
                event = Event.parse(pdu, room_version)
                await self._check_signatures(event, late)
            except ProtocolError as problem:
                problems.append(str(problem))
            else:
                return _judge_hash(event)
        verdict = f"{REJECTED}: {problems[0]}"
        if len(candidates) > 1:
            verdict += (
                f" (as of room version {candidates[0].version} and older ones; the "
                "create event of its room is not known here)"
            )
        own_id = _event_id_or_none(pdu, candidates[0])
        return JudgedPdu(own_id, candidates[0].version, verdict, pdu)

    async def _check_signatures(
        self, event: Event, late: frozenset[ServerName]
    ) -> None:
        """Raise `ProtocolError` unless all servers that must have signed the event."""
        if not event.required_signers:
            raise Unauthorized(
                "an invitation by a third party is proven by the state of its room, "
                "which is not kept here"
            )
        message = signed_bytes(redact(event.pdu, event.room_version))
        for server_name in sorted(event.required_signers, key=str):
            if server_name in late:
                raise Unauthorized(
                    f"the keys of {server_name} were not to be had in "
                    f"{_KEYS_SECONDS:g} seconds"
                )
            signatures = parse_signatures(event.pdu, server_name)
            keys = await self._keyring.event_keys(
                server_name,
                frozenset(signatures),
                event.origin_server_ts,
                event.room_version,
            )
            what = f"event {event.event_id} by {server_name}"
            verify(message, signatures, keys, what)

    async def _fetch_keys(
        self, pdus: Sequence[Json], versions: Mapping[RoomId, str]
    ) -> frozenset[ServerName]:
        """Have the keyring fetch what it lacks, from all servers at the same time.

        Returns the servers that have not answered when time is up.
        """
        fetching: list[tuple[ServerName, Deferred[object]]] = []
        for pdu in pdus:
            try:
                event = Event.parse(pdu, _candidates(pdu, versions)[0])
                signed = {
                    name: parse_signatures(pdu, name) for name in event.required_signers
                }
            except ProtocolError:
                continue  # its verdict will say what is wrong with it
            for name, signatures in signed.items():
                keys = self._keyring.event_keys(
                    name,
                    frozenset(signatures),
                    event.origin_server_ts,
                    event.room_version,
                )
                fetched = Deferred.fromCoroutine(keys)
                fetching.append((name, fetched.addTimeout(_KEYS_SECONDS, self._clock)))
        late: set[ServerName] = set()
        done = await DeferredList([each for _, each in fetching], consumeErrors=True)
        for (name, _), (_, result) in zip(fetching, done, strict=True):
            if not isinstance(result, Failure):
                continue
            if not result.check(defer.TimeoutError):
                result.raiseException()
            late.add(name)
        return frozenset(late)


def _candidates(pdu: Json, versions: Mapping[RoomId, str]) -> Sequence[RoomVersion]:
    known = versions.get(RoomId(str(pdu["room_id"]))) if _has_room(pdu) else None
    return possible_room_versions(pdu, known)


def _judge_hash(event: Event) -> JudgedPdu:
    """The verdict on an event whose signatures are good."""
    version = event.room_version.version
    if event.has_its_content_hash:
        return JudgedPdu(event.event_id, version, "accepted", event.pdu, event.founds)
    redacted = redact(event.pdu, event.room_version)
    return JudgedPdu(event.event_id, version, "redacted: content hash", redacted)


def _has_room(pdu: Json) -> bool:
    return isinstance(pdu.get("room_id"), str)


def _event_id_or_none(pdu: Json, room_version: RoomVersion) -> EventId | None:
    try:
        return event_id(pdu, room_version)
    except ProtocolError:
        return None

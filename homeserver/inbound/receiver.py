"""One inbound transaction: known already? check each PDU, store, reply.

Rules of the room: one transaction of an origin at a time. The reply is made of what is
in the store, after the commit; the same transaction gets the same reply for ever. What
is wrong with one PDU is that PDU's verdict and nobody else's error.

Specification: Server-server API, "Transactions" and "Checks performed on receipt of a
PDU", the first three.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from homeserver.inbound.authentication import ProvenOrigin
from homeserver.keyring import Keyring
from homeserver.protocol.canonical import Json
from homeserver.protocol.errors import LimitExceeded, ProtocolError, Unauthorized
from homeserver.protocol.events import Event, assume_room_version, event_id, redact
from homeserver.protocol.names import EventId, RoomId, ServerName
from homeserver.protocol.room_versions import RoomVersion
from homeserver.protocol.signing import parse_signatures, signed_bytes, verify
from homeserver.protocol.transactions import Transaction, build_reply, check_txn_id
from homeserver.storage.received import (
    REJECTED,
    JudgedPdu,
    ReceivedStore,
    ReceivedTransaction,
)

# How long a transaction waits for the one before it; its sender waits a minute.
_TURN_SECONDS = 30.0


class Receiver:
    """Takes transactions in."""

    _log = Logger()

    def __init__(
        self, store: ReceivedStore, keyring: Keyring, clock: IReactorTime
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._locks: dict[ServerName, defer.DeferredLock] = {}

    async def receive(self, origin: ProvenOrigin, txn_id: str, content: Json) -> bytes:
        """Take in one transaction; the body of the 200 that its origin gets.

        Raises `BadJson`, `InvalidParam`, `TooLarge` and `LimitExceeded`, and
        `StoreUnavailable`; then nothing of it is recorded.
        """
        check_txn_id(txn_id)
        async with self._turn(origin.server_name):
            reply = await self._store.reply_to(origin.server_name, txn_id)
            if reply is not None:
                return reply
            transaction = Transaction.parse(content)
            versions = await self._recorded_versions(transaction)
            pdus: list[JudgedPdu] = []
            for pdu in transaction.pdus:
                judged = await self._judge(pdu, versions)
                if judged.founds is not None and judged.room_version is not None:
                    # A create event often comes with the first events of its room.
                    versions.setdefault(judged.founds, judged.room_version)
                pdus.append(judged)
            self._log.info(
                "{txn_id} of {origin}: {pdus} PDUs, {rejected} rejected, {edus} EDUs",
                txn_id=repr(txn_id),
                origin=origin.server_name,
                pdus=len(pdus),
                rejected=sum(pdu.verdict.startswith(REJECTED) for pdu in pdus),
                edus=len(transaction.edus),
            )
            return await self._store.record(
                ReceivedTransaction(
                    origin.server_name,
                    txn_id,
                    int(self._clock.seconds() * 1000),
                    origin.key_id,
                    origin.client_certificate,
                    pdus,
                    transaction.edus,
                    build_reply(_errors(pdus)),
                )
            )

    @asynccontextmanager
    async def _turn(self, origin: ServerName) -> AsyncIterator[None]:
        lock = self._locks.setdefault(origin, defer.DeferredLock())
        try:
            await lock.acquire().addTimeout(_TURN_SECONDS, self._clock)
        except defer.TimeoutError:
            raise LimitExceeded(
                f"an earlier transaction of {origin} is still being worked on"
            ) from None
        try:
            yield
        finally:
            # Before the release, within which the next one may begin and end.
            if not lock.waiting:
                del self._locks[origin]
            lock.release()

    async def _recorded_versions(self, transaction: Transaction) -> dict[RoomId, str]:
        named = {pdu.get("room_id") for pdu in transaction.pdus if _has_room(pdu)}
        return await self._store.room_versions([RoomId(str(name)) for name in named])

    async def _judge(self, pdu: Json, versions: Mapping[RoomId, str]) -> JudgedPdu:
        """Say what we make of one PDU: format, signatures, content hash."""
        known = versions.get(RoomId(str(pdu["room_id"]))) if _has_room(pdu) else None
        room_version: RoomVersion | None = None
        try:
            room_version = assume_room_version(pdu, known)
            event = Event.parse(pdu, room_version)
            await self._check_signatures(event)
        except ProtocolError as problem:
            verdict = f"{REJECTED}: {problem}"
            if room_version is None:
                return JudgedPdu(None, None, verdict, pdu)
            own_id = _event_id_or_none(pdu, room_version)
            return JudgedPdu(own_id, room_version.version, verdict, pdu)
        if not event.has_its_content_hash:
            redacted = redact(pdu, room_version)
            verdict = "redacted: content hash"
            return JudgedPdu(event.event_id, room_version.version, verdict, redacted)
        return JudgedPdu(
            event.event_id, room_version.version, "accepted", pdu, event.founds
        )

    async def _check_signatures(self, event: Event) -> None:
        """Raise `ProtocolError` unless all servers that must have signed the event."""
        if not event.required_signers:
            raise Unauthorized(
                "an invitation by a third party is proven by the state of its room, "
                "which is not kept here"
            )
        message = signed_bytes(redact(event.pdu, event.room_version))
        for server_name in event.required_signers:
            signatures = parse_signatures(event.pdu, server_name)
            keys = await self._keyring.event_keys(
                server_name,
                frozenset(signatures),
                event.origin_server_ts,
                event.room_version,
            )
            verify(
                message, signatures, keys, f"event {event.event_id} by {server_name}"
            )


def _has_room(pdu: Json) -> bool:
    return isinstance(pdu.get("room_id"), str)


def _event_id_or_none(pdu: Json, room_version: RoomVersion) -> EventId | None:
    try:
        return event_id(pdu, room_version)
    except ProtocolError:
        return None


def _errors(pdus: list[JudgedPdu]) -> dict[EventId, str | None]:
    return {
        pdu.event_id: pdu.verdict if pdu.verdict.startswith(REJECTED) else None
        for pdu in pdus
        if pdu.event_id is not None
    }

"""One inbound transaction: known already? judge it, store, reply.

Rules of the room: one transaction of an origin at a time. The reply is made of what is
in the store, after the commit; the same transaction gets the same reply for ever.

Specification: Server-server API, "Transactions".
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.judge import Judge
from homeserver.protocol.canonical import Json
from homeserver.protocol.errors import LimitExceeded
from homeserver.protocol.names import EventId, ServerName
from homeserver.protocol.transactions import Transaction, build_reply, check_txn_id
from homeserver.storage.received import (
    REJECTED,
    JudgedPdu,
    ReceivedStore,
    ReceivedTransaction,
)

# How long a transaction waits for the one before it; its sender waits a minute.
_TURN_SECONDS = 30.0

_RETRY_SECONDS = 5  # what it takes to work on a large transaction

# Transactions of one origin that wait with all that is in them. An honest origin sends
# one at a time, and the same one again when it has given up.
_MAX_WAITING = 2


class Receiver:
    """Takes transactions in."""

    _log = Logger()

    def __init__(self, store: ReceivedStore, judge: Judge, clock: IReactorTime) -> None:
        self._store = store
        self._judge = judge
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
            pdus = await self._judge.judge(transaction.pdus)
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
        if len(lock.waiting) >= _MAX_WAITING:
            raise LimitExceeded(
                f"transactions of {origin} are waiting already", _RETRY_SECONDS
            )
        try:
            await lock.acquire().addTimeout(_TURN_SECONDS, self._clock)
        except defer.TimeoutError:
            raise LimitExceeded(
                f"an earlier transaction of {origin} is still being worked on",
                _RETRY_SECONDS,
            ) from None
        try:
            yield
        finally:
            # Before the release, within which the next one may begin and end.
            if not lock.waiting:
                del self._locks[origin]
            lock.release()


def _errors(pdus: list[JudgedPdu]) -> dict[EventId, str | None]:
    return {
        pdu.event_id: pdu.verdict if pdu.verdict.startswith(REJECTED) else None
        for pdu in pdus
        if pdu.event_id is not None
    }

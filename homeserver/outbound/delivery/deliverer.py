"""One delivery of a transaction: its attempts, and the record of the result.

Rules: the sender decides when to send. Every result is written to the store, unless the
store fails; `deliver` never raises. Each attempt is counted, and is a line of the log:
one of level `debug` if it fails as the one before it did, within an hour.

Specification: Server-server API, "Transactions".
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

from msgspec import Struct
from twisted.logger import Logger, LogLevel

from homeserver.config.values import Sending
from homeserver.net.back_off import MAX_KEYS, doubled
from homeserver.net.bounded_map import BoundedMap
from homeserver.net.cooperate import Pace
from homeserver.net.exchanges import Exchanges
from homeserver.outbound.client import Delivery
from homeserver.outbound.delivery.attempts import Attempts, Ended
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.targets import transaction_target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.diagnosis.replies import diagnose_reply, remark_on_alphabet
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.remarks import Remark
from homeserver.protocol.replies import (
    answered_pdus,
    find_event_id,
    remarks_on,
    sent_pdus,
)
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.outbox.batching import Acknowledged, PendingTransaction
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.outbox.queue_id import QueueId

# Between two lines about a destination that fails as before: a thousand that are down
# are a line every few seconds.
_REPEATED_SECONDS = 3600.0


class _Told(Struct, frozen=True):
    """The last line about a queue that fails."""

    kind: tuple[object, ...]
    at: float
    """In seconds."""


class Deliverer:
    """Delivers transactions and records the results."""

    _log = Logger()

    def __init__(
        self,
        leases: DestinationLeases,
        attempts: Attempts,
        config: Sending,
        exchanges: Exchanges,
        random: Random,
        pace: Pace,
    ) -> None:
        """`pace` is that of all long work: the event IDs of 50 large PDUs are some."""
        self.leases = leases
        self.attempts = attempts
        self._config = config
        self._clock = exchanges.clock
        self._exchanges = exchanges
        self._random = random
        self._pace = pace
        self._told: BoundedMap[QueueId, _Told] = BoundedMap(MAX_KEYS)

    async def deliver(
        self, pending: PendingTransaction, reached: Callable[[str], object]
    ) -> PendingTransaction | None:
        """Try to deliver one transaction, and record the result.

        If the destination does not know the path, its other form is tried once, with
        the same ID and bytes. Returns the next transaction of the destination; None at
        the end of its turn. If the store fails, the lease ends and the same bytes are
        sent again. `reached` is called with the IP address of each connection.
        """
        try:
            ended = await self.attempts.make(pending, reached)
            doubt = ended.doubt_about_path
            if doubt is not None:
                other = replace(pending, slash=not pending.slash, attempts=2)
                where = transaction_target(other.txn_id, slash=other.slash)
                self._tell(ended, LogLevel.info, f"again at {where}: {doubt}")
                self._exchanges.hand_over(ended.exchange)
                ended = await self.attempts.make(other, reached)
            try:
                return await self._record(ended, doubt)
            finally:  # also where the store fails
                self._exchanges.hand_over(ended.exchange)
        except StoreUnavailable as problem:  # the store has logged it
            self._log.debug(
                "{destination}: {problem}",
                destination=pending.destination,
                problem=problem,
            )
            return None

    async def _record(
        self, ended: Ended, doubt: Refused | None
    ) -> PendingTransaction | None:
        """Record the result; `doubt` is the answer to the first form of the path."""
        outcome = ended.outcome
        if isinstance(outcome, Delivery):
            return await self._record_delivery(ended, outcome)
        if isinstance(outcome, Refused) and outcome.is_final:
            return await self._record_rejection(ended, outcome)
        why = str(outcome)
        if doubt is not None:
            why = f"{doubt}; in the other form of the path: {why}"
        retry_after = outcome.retry_after if isinstance(outcome, Refused) else 0.0
        await self._record_failure(ended, why, retry_after)
        return None

    async def _record_failure(self, ended: Ended, why: str, retry_after: float) -> None:
        # Jitter, so that many failures at one time are not retried at one time.
        jitter = self._random.uniform(0.8, 1.2)
        pause = await self.leases.record_failure(
            ended.pending,
            why,
            partial(_pause, self._config, jitter, retry_after),
            _pause(self._config, jitter, retry_after, 1),
        )
        # Without the lease it is unknown whether there is a next attempt.
        again = "its lease was lost" if pause is None else f"again in {pause:.1f} s"
        level = LogLevel.warn if self._is_news(ended) else LogLevel.debug
        self._tell(ended, level, f"{again}: {why}")

    def _is_news(self, ended: Ended) -> bool:
        """Whether a queue has not failed like this, or not for an hour."""
        exchange, now = ended.exchange, self._clock.seconds()
        kind = (exchange.result, exchange.status, exchange.reason)
        told = self._told.get(ended.pending.queue)
        if told and told.kind == kind and now - told.at < _REPEATED_SECONDS:
            return False
        self._told[ended.pending.queue] = _Told(kind, now)
        return True

    async def _record_rejection(
        self, ended: Ended, problem: Refused
    ) -> PendingTransaction | None:
        self._told.pop(ended.pending.queue, None)
        following = await self.leases.record_rejection(
            ended.pending, str(problem), problem.reply
        )
        self._tell(ended, LogLevel.error, f"it is not sent again: {problem}")
        return following

    async def _record_delivery(
        self, ended: Ended, delivery: Delivery
    ) -> PendingTransaction | None:
        self._told.pop(ended.pending.queue, None)
        made = delivery.connection
        connection: Json = {
            "route": str(made.route),
            "address": made.address,
            "verified_by": made.peer.verified_by,
            "certificate_sha256": made.peer.certificate_sha256,
        }
        remarks = await self._remarks(ended.pending, delivery)
        following = await self.leases.record_delivery(
            ended.pending, Acknowledged(delivery.reply, connection, remarks)
        )
        verdict = f"{made.address}, verified by {made.peer.verified_by}"
        if remarks:
            verdict += f"; {len(remarks)} remarks, the first: {remarks[0]}"
        ended.exchange.remarks = [*ended.exchange.remarks, *remarks]
        self._tell(ended, LogLevel.info, verdict)
        return following

    async def _remarks(
        self, pending: PendingTransaction, delivery: Delivery
    ) -> list[Remark]:
        """The problems of the reply to a transaction."""
        if delivery.reply is None:
            return [Remark("reply_json", each) for each in delivery.problems]
        answered = answered_pdus(delivery.reply)
        found: list[EventId | None] = []
        first_missing: Json | None = None
        alphabet: Remark | None = None
        self._pace.begin_work()
        for pdu in sent_pdus(pending.body):
            await self._pace.pause()
            own_id = find_event_id(pdu, answered)
            found.append(own_id)
            if own_id is None:
                first_missing = first_missing or pdu
            else:
                alphabet = alphabet or remark_on_alphabet(pdu, own_id)
        remarks = remarks_on(delivery.reply, found)
        if alphabet is not None:
            remarks.append(alphabet)
        if first_missing is None:
            return remarks
        steps = diagnose_reply(first_missing, found, answered)
        return [*await self._pace.run(steps), *remarks]

    def _tell(self, ended: Ended, level: LogLevel, verdict: str) -> None:
        """Log an attempt."""
        ended.exchange.verdict = verdict
        self._log.emit(level, "{exchange}", exchange=ended.exchange)


def _pause(config: Sending, jitter: float, retry_after: float, failures: int) -> float:
    """The seconds to wait after so many failures in a row.

    `retry_after` is the minimum that the destination asks for.
    """
    seconds = doubled(config.first_retry_seconds, failures) * jitter
    return min(max(seconds, retry_after), config.max_retry_seconds)

"""One attempt to deliver a transaction, and the record of what came of it.

Rules of the room: nothing is decided here about when to send. Whatever happens to an
attempt, it ends in the store, or the store cannot be written; it never raises. Each
attempt is one line of the log, and is counted.

Specification: Server-server API, "Transactions".
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Literal

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from homeserver.config import Sending
from homeserver.outbound.client import Delivery, FederationClient, transaction_target
from homeserver.outbound.connector import Unreachable
from homeserver.outbound.refusal import Refused
from homeserver.protocol.canonical import Json
from homeserver.storage.cutting import OwedTransaction
from homeserver.storage.database import StoreUnavailable
from homeserver.storage.turns import Turns

# What is said to these bytes is said for ever; any other no may be a yes later.
_FINAL_STATUSES = frozenset({400, 413})


Result = Literal["delivered", "failed", "rejected", "unreachable", "error"]
"""What came of an attempt.

`rejected`: the destination will never take the transaction. Tried again are `failed`
(the answer was a no, or could not be read), `unreachable` and `error` (internal).
"""


class Attempt(Struct, frozen=True):
    """An attempt that is over."""

    owed: OwedTransaction
    result: Result
    seconds: float
    """Until the answer was read, or there was none."""


class Courier:
    """Delivers transactions, each once at a time."""

    _log = Logger()

    def __init__(
        self,
        turns: Turns,
        client: FederationClient,
        config: Sending,
        clock: IReactorTime,
        random: Random,
        observe: Callable[[Attempt], object] = lambda _: None,
    ) -> None:
        """`observe` takes each attempt."""
        self._turns = turns
        self._client = client
        self._config = config
        self._clock = clock
        self._random = random
        self._observe = observe

    async def deliver(self, owed: OwedTransaction) -> OwedTransaction | None:
        """Try to deliver one transaction, and record what comes of it.

        Returns the next one of the destination; None where its turn is over. Where the
        store fails on the way, or under the record, the lease ends and the same bytes
        are sent again.
        """
        try:
            return await self._attempt(owed)
        except StoreUnavailable as problem:  # which the store itself tells, once
            self._log.debug(
                "{destination}: {problem}",
                destination=owed.destination,
                problem=problem,
            )
            return None

    async def _attempt(self, owed: OwedTransaction) -> OwedTransaction | None:
        began = self._clock.seconds()

        def end(result: Result) -> Attempt:
            # Not below nothing, should the clock have been set back.
            seconds = max(0.0, self._clock.seconds() - began)
            attempt = Attempt(owed, result, seconds)
            self._observe(attempt)
            return attempt

        try:
            delivery = await self._client.send_transaction(
                owed.destination, owed.txn_id, owed.body
            )
        except StoreUnavailable:
            raise
        except Unreachable as problem:
            await self._record_failure(end("unreachable"), str(problem))
        except Refused as problem:
            if problem.status in _FINAL_STATUSES:
                return await self._record_rejection(end("rejected"), problem)
            await self._record_failure(
                end("failed"), str(problem), problem.retry_after, problem.status
            )
        except Exception:  # noqa: BLE001 - ours to mend; a queue never stops
            self._log.failure("an error of ours, sending to {to}", to=owed.destination)
            await self._record_failure(
                end("error"), "an error of this server; its log has more"
            )
        else:
            return await self._record_delivery(end("delivered"), delivery)
        return None

    async def _record_failure(
        self,
        attempt: Attempt,
        why: str,
        retry_after: float = 0.0,
        status: int | None = None,
    ) -> None:
        # Jitter, so that many who fail together do not return together.
        jitter = self._random.uniform(0.8, 1.2)
        pause = await self._turns.record_failure(
            attempt.owed,
            why,
            partial(_pause, self._config, jitter, retry_after),
            _pause(self._config, jitter, retry_after, 1),
        )
        # Whose turn it is not any more does not know when the next attempt is.
        again = "again" if pause is None else f"again in {pause:.1f} s"
        self._tell(attempt, LogLevel.warn, status, f"{again}: {why}")

    async def _record_rejection(
        self, attempt: Attempt, problem: Refused
    ) -> OwedTransaction | None:
        following = await self._turns.record_rejection(
            attempt.owed, str(problem), problem.reply
        )
        self._tell(
            attempt, LogLevel.error, problem.status, f"it is not sent again: {problem}"
        )
        return following

    async def _record_delivery(
        self, attempt: Attempt, delivery: Delivery
    ) -> OwedTransaction | None:
        link = delivery.link
        connection: Json = {
            "route": str(link.route),
            "address": link.address,
            "verified_by": link.peer.verified_by,
            "certificate_sha256": link.peer.certificate_sha256,
        }
        following = await self._turns.record_delivery(
            attempt.owed, delivery.reply, connection
        )
        verdict = f"{link.address}, verified by {link.peer.verified_by}"
        refused = _refused_pdus(delivery.reply)
        if refused:
            verdict += f", refuses {refused} of the PDUs"
        self._tell(attempt, LogLevel.info, 200, verdict)
        return following

    def _tell(
        self, attempt: Attempt, level: LogLevel, status: int | None, verdict: str
    ) -> None:
        owed = attempt.owed
        self._log.emit(
            level,
            "PUT {path} to {destination}: {result} in {seconds} s: {verdict}",
            path=transaction_target(owed.txn_id),
            destination=owed.destination,
            txn_id=owed.txn_id,
            result=attempt.result,
            status=status,
            seconds=round(attempt.seconds, 4),
            verdict=verdict,
        )


def _refused_pdus(reply: Json | None) -> int:
    """Of how many PDUs a reply says that something is wrong with them."""
    pdus = {} if reply is None else reply.get("pdus")
    if not isinstance(pdus, dict):
        return 0
    return sum(isinstance(each, dict) and "error" in each for each in pdus.values())


def _pause(config: Sending, jitter: float, retry_after: float, failures: int) -> float:
    """How many seconds to wait after so many failures in a row.

    `retry_after` is what the destination wants, which is not less than it gets.
    """
    # The exponent is bounded so that the power stays a number.
    seconds = config.first_retry_seconds * 2.0 ** min(failures - 1, 60) * jitter
    return min(max(seconds, retry_after), config.max_retry_seconds)

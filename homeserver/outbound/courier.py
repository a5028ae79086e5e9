"""One attempt to deliver a transaction, and the record of what came of it.

Rules of the room: nothing is decided here about when to send. Whatever happens to an
attempt, it ends in the store, or the store cannot be written; it never raises.

Specification: Server-server API, "Transactions".
"""

from functools import partial
from random import Random

from twisted.logger import Logger

from homeserver.config import Sending
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.connector import Unreachable
from homeserver.outbound.refusal import Refused
from homeserver.protocol.canonical import Json
from homeserver.storage.cutting import OwedTransaction
from homeserver.storage.database import StoreUnavailable
from homeserver.storage.turns import Turns

# What is said to these bytes is said for ever; any other no may be a yes later.
_FINAL_STATUSES = frozenset({400, 413})


class Courier:
    """Delivers transactions, each once at a time."""

    _log = Logger()

    def __init__(
        self, turns: Turns, client: FederationClient, config: Sending, random: Random
    ) -> None:
        self._turns = turns
        self._client = client
        self._config = config
        self._random = random

    async def deliver(self, owed: OwedTransaction) -> None:
        """Try to deliver one transaction, and record what comes of it.

        Where the store fails on the way, or under the record, the lease ends and the
        same bytes are sent again.
        """
        try:
            await self._attempt(owed)
        except StoreUnavailable as problem:
            self._log.error(
                "{destination}: {problem}",
                destination=owed.destination,
                problem=problem,
            )

    async def _attempt(self, owed: OwedTransaction) -> None:
        try:
            delivery = await self._client.send_transaction(
                owed.destination, owed.txn_id, owed.body
            )
        except StoreUnavailable:
            raise
        except Unreachable as problem:
            await self._record_failure(owed, str(problem))
        except Refused as problem:
            if problem.status in _FINAL_STATUSES:
                await self._record_refusal(owed, problem)
            else:
                await self._record_failure(owed, str(problem), problem.retry_after)
        except Exception:  # noqa: BLE001 - ours to mend; a queue never stops
            self._log.failure("an error of ours, sending to {to}", to=owed.destination)
            await self._record_failure(
                owed, "an error of this server; its log has more"
            )
        else:
            await self._record_delivery(owed, delivery)

    async def _record_failure(
        self, owed: OwedTransaction, why: str, retry_after: float = 0.0
    ) -> None:
        # Jitter, so that many who fail together do not return together.
        jitter = self._random.uniform(0.8, 1.2)
        seconds = await self._turns.record_failure(
            owed,
            why,
            partial(_pause, self._config, jitter, retry_after),
            _pause(self._config, jitter, retry_after, 1),
        )
        self._log.warn(
            "{txn_id} to {destination} not delivered, again in {seconds} s: {why}",
            txn_id=owed.txn_id,
            destination=owed.destination,
            seconds=None if seconds is None else round(seconds, 1),
            why=why,
        )

    async def _record_refusal(self, owed: OwedTransaction, problem: Refused) -> None:
        await self._turns.record_refusal(owed, str(problem), problem.reply)
        self._log.error(
            "{txn_id} set aside, it is not sent to {destination} again: {why}",
            txn_id=owed.txn_id,
            destination=owed.destination,
            why=problem,
        )

    async def _record_delivery(self, owed: OwedTransaction, delivery: Delivery) -> None:
        link = delivery.link
        connection: Json = {
            "route": str(link.route),
            "address": link.address,
            "verified_by": link.peer.verified_by,
            "certificate_sha256": link.peer.certificate_sha256,
        }
        await self._turns.record_delivery(owed, delivery.reply, connection)
        self._log.info(
            "{txn_id} delivered to {destination} at {address}, verified by {method}",
            txn_id=owed.txn_id,
            destination=owed.destination,
            address=link.address,
            method=link.peer.verified_by,
        )


def _pause(config: Sending, jitter: float, retry_after: float, failures: int) -> float:
    """How many seconds to wait after so many failures in a row.

    `retry_after` is what the destination wants, which is not less than it gets.
    """
    # The exponent is bounded so that the power stays a number.
    seconds = config.first_retry_seconds * 2.0 ** min(failures - 1, 60) * jitter
    return min(max(seconds, retry_after), config.max_retry_seconds)

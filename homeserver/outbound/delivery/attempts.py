"""Attempts to deliver a transaction: one request each, and its result.

Rules: nothing is stored here, and nothing is retried. The bytes of the last delivered
transactions stay in memory, so that an operator can have one of them sent once more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.net.bounded_map import BoundedMap, ByteLimit
from homeserver.net.bounds import Bound
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.handled import handled
from homeserver.outbound.client import Delivery
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.targets import transaction_target
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.outbox.batching import PendingTransaction
from homeserver.storage.outbox.queue_id import QueueId

# Of delivered transactions: thousands of usual ones, or the largest one.
_KEPT_BYTES = 8 * 1024 * 1024
_ENTRY_BYTES = 500  # of a key, and its place in memory

Result = Literal["delivered", "failed", "rejected", "unreachable", "aborted", "error"]
"""The result of an attempt.

`rejected`: the destination will never accept the transaction. The others are tried
again: `failed` (an error response, or one that cannot be parsed), `unreachable` (no
answer), `error` (internal), and `aborted` (by this server), unless it was dropped.
"""


class Ended(Struct, frozen=True):
    """A finished attempt with its answer, or the exception."""

    pending: PendingTransaction
    exchange: Exchange
    """Its `result` is a `Result`, its time that until the answer was read."""

    outcome: Delivery | Exception

    @property
    def doubt_about_path(self) -> Refused | None:
        """The error response, if the other form of the path may work.

        Newer servers answer 404 to a path with a slash.
        """
        if not isinstance(self.outcome, Refused):
            return None
        is_gone = self.pending.slash and self.outcome.status == 404
        return self.outcome if self.outcome.is_about_path or is_gone else None


@dataclass
class _Request:
    """A running request."""

    txn_id: str
    call: Deferred[Delivery]
    why_aborted: str | None = None


class TransactionClient(Protocol):
    """Sends the transactions of one of our servers."""

    async def send_transaction(
        self,
        destination: ServerName,
        txn_id: str,
        body: bytes,
        *,
        exchange: Exchange,
        slash: bool = False,
        connected: Callable[[VerifiedConnection], object] = ...,
    ) -> Delivery:
        """As `FederationClient.send_transaction`."""
        ...


class Attempts:
    """Makes attempts, one at a time for each queue."""

    _log = Logger()

    def __init__(
        self,
        client_of: Callable[[ServerName], TransactionClient],
        exchanges: Exchanges,
    ) -> None:
        """`client_of` has the client of each of our servers."""
        self._client_of = client_of
        self._exchanges = exchanges
        self._requests: dict[QueueId, _Request] = {}
        limit = ByteLimit(_KEPT_BYTES, lambda body: len(body) + _ENTRY_BYTES)
        self.bound = Bound(
            "kept_transaction_bytes",
            "bytes of delivered transactions that can be sent once more",
            _KEPT_BYTES,
            lambda: limit.use,
        )
        self._delivered: BoundedMap[tuple[QueueId, str], bytes] = BoundedMap(
            limit, lambda _: self.bound.refuse()
        )

    def delivered_body(self, queue: QueueId, txn_id: str) -> bytes | None:
        """The bytes of a delivered transaction; None if they are not kept any more."""
        return self._delivered.get((queue, txn_id))

    def under_way(self) -> dict[QueueId, str]:
        """The ID of the transaction in the running request of each queue."""
        return {queue: request.txn_id for queue, request in self._requests.items()}

    def abort(self, queue: QueueId, why: str, txn_id: str | None = None) -> None:
        """Abort the attempt of a queue, or only that of one transaction."""
        request = self._requests.get(queue)
        if request is not None and txn_id in {None, request.txn_id}:
            request.why_aborted = why
            request.call.cancel()

    async def make(
        self, pending: PendingTransaction, reached: Callable[[str], object]
    ) -> Ended:
        """Send a transaction once; raises `StoreUnavailable`.

        `reached` is called with the IP address of the connection before the request is
        sent.
        """
        target = transaction_target(pending.txn_id, slash=pending.slash)
        exchange = self._exchanges.open("request", "out", "PUT", target)
        exchange.peer, exchange.txn_id = pending.destination.name, pending.txn_id
        call = Deferred.fromCoroutine(
            self._client_of(pending.queue.server_name).send_transaction(
                pending.destination,
                pending.txn_id,
                pending.body,
                exchange=exchange,
                slash=pending.slash,
                connected=lambda connection: reached(connection.address),
            )
        )
        request = self._requests[pending.queue] = _Request(pending.txn_id, call)
        result: Result = "delivered"
        outcome: Delivery | Exception
        try:
            outcome = await call
        except StoreUnavailable:
            raise
        except Exception as problem:  # noqa: BLE001 - also internal errors; a queue never stops
            result, outcome = self._explain(request, pending.queue, problem)
        finally:
            del self._requests[pending.queue]
        if result == "delivered":
            self._delivered[pending.queue, pending.txn_id] = pending.body
        exchange.result = result
        self._exchanges.end(exchange)
        return Ended(pending, exchange, outcome)

    def _explain(
        self, request: _Request, queue: QueueId, problem: Exception
    ) -> tuple[Result, Exception]:
        """The result and the exception to record for a failed request."""
        if request.why_aborted is not None:
            handled(problem)
            return "aborted", Exception(request.why_aborted)
        if isinstance(problem, Unreachable):
            return "unreachable", handled(problem)
        if isinstance(problem, Refused):
            handled(problem)
            return "rejected" if problem.is_final else "failed", problem
        self._log.failure(
            "internal error while sending to {to}",
            Failure(problem),
            to=queue.destination,
        )
        return "error", Exception("internal error; the log of this server has more")

"""One durable queue for each destination: send, wait, try again.

Rules of the room: the only place that retries. One transaction of a destination is in
flight; the next one waits until it was acknowledged with 200. What happened is in the
store before anybody acts on it, so that a process that starts again goes on where the
last one stopped.

Specification: Server-server API, "Transactions".
"""

from collections.abc import Sequence
from random import Random

from twisted.internet import task
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from homeserver.config import Sending
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.connector import Unreachable
from homeserver.outbound.refusal import Refused
from homeserver.protocol.canonical import Json, as_object, encode
from homeserver.protocol.errors import TooLarge
from homeserver.protocol.names import ServerName
from homeserver.protocol.transactions import (
    ENVELOPE_BYTES,
    MAX_EDUS,
    MAX_PDUS,
    MAX_TRANSACTION_BYTES,
    build,
)
from homeserver.storage.changes import Changes
from homeserver.storage.database import StoreUnavailable
from homeserver.storage.outbound import BackOff, OutboundQueue, OwedTransaction

_MAX_IN_FLIGHT = 100  # destinations sent to at once; each may cost a connection

_STORE_RETRY_SECONDS = 5.0  # until a store that is full or locked is asked again


class Sender:
    """Delivers what is queued, to each destination in order."""

    _log = Logger()

    def __init__(
        self,
        server_name: ServerName,
        queue: OutboundQueue,
        client: FederationClient,
        config: Sending,
        clock: IReactorTime,
        random: Random,
    ) -> None:
        self._server_name = server_name
        self._queue = queue
        self._client = client
        self._config = config
        self._clock = clock
        self._random = random
        self._changes = Changes(clock)
        self._is_running = False
        self._slots = DeferredSemaphore(_MAX_IN_FLIGHT)
        self._working: dict[ServerName, Deferred[None]] = {}
        self._waiting: dict[ServerName, IDelayedCall] = {}
        self._in_flight: dict[ServerName, str] = {}
        self._to_retry: set[ServerName] = set()

    async def start(self) -> None:
        """Take up what is owed since before; raises `StoreUnavailable`."""
        self._is_running = True
        destinations = await self._queue.destinations()
        # In no particular order: many servers that start at once share the load.
        self._random.shuffle(destinations)
        for destination in destinations:
            self._wake(destination)

    async def stop(self) -> None:
        """Begin nothing more, and wait for what is in flight."""
        self._is_running = False
        for call in self._waiting.values():
            call.cancel()
        self._waiting.clear()
        for working in list(self._working.values()):
            await working

    async def enqueue(
        self, destination: ServerName, pdus: Sequence[Json], edus: Sequence[Json]
    ) -> int:
        """Owe `destination` what fits into one transaction; returns the entry's ID.

        Raises `TooLarge` for more than that, and `StoreUnavailable`.
        """
        length = len(encode([*pdus, *edus])) + ENVELOPE_BYTES
        if (
            len(pdus) > MAX_PDUS
            or len(edus) > MAX_EDUS
            or length > MAX_TRANSACTION_BYTES
        ):
            raise TooLarge(
                f"{len(pdus)} PDUs and {len(edus)} EDUs of {length} bytes do not fit "
                f"into one transaction; {MAX_PDUS}, {MAX_EDUS} and "
                f"{MAX_TRANSACTION_BYTES} are allowed"
            )
        own_id = await self._queue.add(destination, pdus, edus)
        self._wake(destination)
        return own_id

    async def state(
        self, destination: ServerName, entry_id: int, wait: float
    ) -> Json | None:
        """How far an entry has come: once it is delivered, or after `wait` seconds.

        `{"state": "queued", "sending" or "delivered", "txn_id", "attempts",
        "next_attempt_ts", "error", "reply", "connection"}`; None if there is none of
        that ID.
        """

        async def look() -> Json | None:
            state = await self._queue.state(destination, entry_id)
            if state is not None and state["state"] == "queued":
                txn_id = self._in_flight.get(destination)
                if txn_id is not None and txn_id == state["txn_id"]:
                    return {**state, "state": "sending", "next_attempt_ts": None}
            return state

        return await self._changes.until(
            look, lambda state: state is None or state["state"] == "delivered", wait
        )

    async def retry(self, destination: ServerName) -> None:
        """End a back-off: try again now; raises `StoreUnavailable`."""
        await self._queue.end_back_off(destination)
        if destination in self._working:
            self._to_retry.add(destination)
        waiting = self._waiting.pop(destination, None)
        if waiting is not None:
            waiting.cancel()
        self._wake(destination)

    def _wake(self, destination: ServerName) -> None:
        """Work on a destination's queue, unless that is done or waited for already."""
        if (
            self._is_running
            and destination not in self._working
            and destination not in self._waiting
        ):
            self._working[destination] = Deferred.fromCoroutine(
                self._work(destination)
            ).addErrback(lambda failure: self._log.failure("a queue stopped", failure))

    async def _work(self, destination: ServerName) -> None:
        """Send what `destination` is owed until nothing is, or until it fails."""
        seconds: float | None = None
        # Give way once, so that `_working` knows of this before it can end.
        await task.deferLater(self._clock, 0)
        try:
            seconds = await self._slots.run(self._drain, destination)
            if destination in self._to_retry:
                # It was asked for while the last attempt was ending.
                self._to_retry.discard(destination)
                await self._queue.end_back_off(destination)
                seconds = 0.0
        except StoreUnavailable as problem:
            self._log.error(
                "{destination}: {problem}", destination=destination, problem=problem
            )
            seconds = _STORE_RETRY_SECONDS
        finally:
            self._in_flight.pop(destination, None)
            self._to_retry.discard(destination)
            del self._working[destination]
        if seconds is not None and self._is_running:
            self._waiting[destination] = self._clock.callLater(
                seconds, self._wake_again, destination
            )
        self._changes.announce()

    def _drain(self, destination: ServerName) -> Deferred[float | None]:
        return Deferred.fromCoroutine(self._send_all(destination))

    async def _send_all(self, destination: ServerName) -> float | None:
        """Send until nothing is owed (None) or in how many seconds to try again."""
        while self._is_running:
            back_off = await self._queue.back_off(destination)
            if back_off is not None:
                seconds = back_off.next_attempt_ts / 1000 - self._clock.seconds()
                if seconds > 0:
                    # Not longer than ever, should the clock have been set back.
                    return min(seconds, self._config.max_retry_seconds)
            owed = await self._queue.next_transaction(
                destination, self._now_ts(), self._build
            )
            if owed is None:
                return None
            self._in_flight[destination] = owed.txn_id
            try:
                delivery = await self._client.send_transaction(
                    destination, owed.txn_id, owed.body
                )
            except (Unreachable, Refused) as problem:
                return await self._record_failure(owed, str(problem), back_off)
            except StoreUnavailable:
                raise
            except Exception:  # noqa: BLE001 - ours to mend; a queue never stops
                self._log.failure("an error of ours, sending to {to}", to=destination)
                return await self._record_failure(
                    owed, "an error of this server; its log has more", back_off
                )
            finally:
                self._in_flight.pop(destination, None)
            await self._record_delivery(owed, delivery)
        return None

    async def _record_failure(
        self, owed: OwedTransaction, why: str, before: BackOff | None
    ) -> float:
        failures = 1 if before is None else before.failures + 1
        # The exponent is bounded so that the power stays a number. Jitter, so that
        # many who fail together do not return together.
        seconds = self._config.first_retry_seconds * 2.0 ** min(failures - 1, 60)
        seconds *= self._random.uniform(0.8, 1.2)
        seconds = min(seconds, self._config.max_retry_seconds)
        self._log.warn(
            "{txn_id} to {destination} not delivered, again in {seconds} s: {why}",
            txn_id=owed.txn_id,
            destination=owed.destination,
            seconds=round(seconds, 1),
            why=why,
        )
        await self._queue.record_failure(
            owed, why, BackOff(failures, self._now_ts() + int(seconds * 1000))
        )
        return seconds

    async def _record_delivery(self, owed: OwedTransaction, delivery: Delivery) -> None:
        link = delivery.link
        connection: Json = {
            "route": str(link.route),
            "address": link.address,
            "verified_by": link.peer.verified_by,
            "certificate_sha256": link.peer.certificate_sha256,
        }
        await self._queue.record_delivery(
            owed, delivery.reply, connection, self._now_ts()
        )
        self._log.info(
            "{txn_id} delivered to {destination} at {address}, verified by {method}",
            txn_id=owed.txn_id,
            destination=owed.destination,
            address=link.address,
            method=link.peer.verified_by,
        )
        self._changes.announce()

    def _build(self, pdus: list[object], edus: list[object]) -> Json:
        return build(
            self._server_name,
            self._now_ts(),
            [as_object(pdu, "a queued PDU") for pdu in pdus],
            [as_object(edu, "a queued EDU") for edu in edus],
        )

    def _wake_again(self, destination: ServerName) -> None:
        del self._waiting[destination]
        self._wake(destination)

    def _now_ts(self) -> int:
        return int(self._clock.seconds() * 1000)

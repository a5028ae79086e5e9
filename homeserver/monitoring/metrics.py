"""The metrics of one endpoint.

Rules: a component that reports something is given the one method that takes it, and
does not depend on this module. No label value is chosen by a peer: no server name, no
path, no unknown method or type.

Names: Prometheus documentation, "Metric and label naming".
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from math import nan
from typing import cast, get_args

from prometheus_client import Counter, Histogram

from homeserver import __version__
from homeserver.config.values import VerificationMethod
from homeserver.http.tls_listener import HandshakeResult
from homeserver.inbound.authentication import FAILURES
from homeserver.keys.key_fetches import FetchResult
from homeserver.monitoring.registry import Registry
from homeserver.net.bounds import Bound
from homeserver.net.exchange import Exchange
from homeserver.outbound.delivery.attempts import Result
from homeserver.outbound.transport.verification import VerificationResult
from homeserver.protocol.events import edus
from homeserver.storage.judged_pdus import OUTCOMES
from homeserver.storage.outbox.progress import PendingTotals
from homeserver.storage.pruner import PRUNED
from homeserver.storage.received import ReceivedTransaction

_OTHER = "other"

# Any other method in a request is text that the client chose.
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})

# In seconds. A request waits while the keys of its origin are fetched, and a request
# of the control API may wait half a minute for an event.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10, 30)
_BLOCKED_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10)

_GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # jobs


class Metrics:
    """All metrics of one endpoint."""

    def __init__(self) -> None:
        new = self.registry = Registry()

        new.gauge("homeserver_build_info", "Always 1.", {"version": ()}).labels(
            __version__
        ).set(1)

        listener = {"listener": ["federation", "control"]}
        by_route = {**listener, "method": (), "route": ()}
        self._requests = new.counter(
            "homeserver_http_requests_total",
            "Requests that have ended; `status` is `none` without a response.",
            {**by_route, "status": ()},
        )
        self._request_seconds = new.histogram(
            "homeserver_http_request_duration_seconds",
            "Time from the arrival of a whole request until its response was ready.",
            _REQUEST_BUCKETS,
            by_route,
        )
        self._known_requests: dict[
            tuple[str, str, str, int | None], tuple[Counter, Histogram]
        ] = {}
        self._connections = new.gauge(
            "homeserver_connections", "Open connections.", listener
        )
        self._handshakes = new.counter(
            "homeserver_tls_handshakes_total",
            "Inbound (in) and outbound (out) TLS handshakes; refused are connections "
            "over the limit.",
            {"direction": ["in", "out"], "result": get_args(HandshakeResult)},
        )

        self._authentication_failures = new.counter(
            "homeserver_authentication_failures_total",
            "Requests of other servers that failed authentication, by reason.",
            {"reason": tuple(FAILURES)},
        )
        self._transactions = new.counter(
            "homeserver_received_transactions_total",
            "Transactions recorded; a repeated transaction counts once.",
        )
        self._pdus = new.counter(
            "homeserver_received_pdus_total",
            "PDUs recorded, by verdict.",
            {"verdict": OUTCOMES},
        )
        self._edus = new.counter(
            "homeserver_received_edus_total",
            "EDUs recorded, by type.",
            {"edu_type": [*sorted(edus.TYPES), _OTHER]},
        )
        self._problems = new.counter(
            "homeserver_received_problems_total",
            "Problems found in recorded transactions outside their PDUs.",
        )
        self._remarks = new.counter(
            "homeserver_received_remarks_total",
            "Remarks on recorded transactions, such as an ID that was used before "
            "with other content.",
        )

        self._verifications = new.counter(
            "homeserver_peer_verifications_total",
            "Attempts to verify the server of an outbound connection, by method.",
            {
                "method": get_args(VerificationMethod),
                "result": get_args(VerificationResult),
            },
        )
        self._key_fetches = new.counter(
            "homeserver_key_fetches_total",
            "Fetches of other servers' keys; requests that wait for the same keys "
            "share a fetch.",
            {"result": get_args(FetchResult)},
        )

        attempts = new.counter(
            "homeserver_delivery_attempts_total",
            "Attempts to deliver a transaction. After failed (an error response), "
            "unreachable, error (internal) and aborted it is tried again unless it was "
            "dropped; after rejected it is not.",
            {"result": get_args(Result)},
        )
        attempt_seconds = new.histogram(
            "homeserver_delivery_attempt_duration_seconds",
            "Time of a delivery attempt, from connecting until the response was read.",
            _REQUEST_BUCKETS,
            {"result": get_args(Result)},
        )
        self._attempts = {
            result: (attempts.labels(result), attempt_seconds.labels(result))
            for result in get_args(Result)
        }
        shared = "; the same for all processes that share a store."
        self._entries = new.gauge(
            "homeserver_outbound_entries",
            f"Entries of the outbound queues that are not finished{shared}",
        )
        self._oldest = new.gauge(
            "homeserver_outbound_oldest_entry_age_seconds",
            f"Age of the oldest of these entries{shared}",
        )
        self._destinations = new.gauge(
            "homeserver_outbound_destinations",
            "Servers with queued entries: waiting for an attempt, or backing_off after "
            f"a failed one{shared}",
            {"state": ["waiting", "backing_off"]},
        )

        self._commits = new.histogram(
            "homeserver_store_commit_duration_seconds",
            "Time in which the store writes and commits a group of jobs.",
            _BLOCKED_BUCKETS,
        )
        self._commit_jobs = new.histogram(
            "homeserver_store_commit_jobs",
            "Jobs committed together.",
            _GROUP_BUCKETS,
        )
        self._reactor_lag = new.histogram(
            "homeserver_reactor_delay_seconds",
            "Reactor lag: how late a timer due every second fires. All I/O waits that "
            "long.",
            _BLOCKED_BUCKETS,
        )

        self._pruned = new.counter(
            "homeserver_pruned_total",
            "Sent and received transactions, or their content, and refused requests "
            "that were removed from the store because of their age or its size.",
            {"of": PRUNED},
        )
        bound = {"bound": ()}
        self._bound_use = new.gauge(
            "homeserver_bound_use", "Current use of a bound.", bound
        )
        self._bound_limit = new.gauge(
            "homeserver_bound_limit", "Limit of a bound.", bound
        )
        self._bound_refusals = new.counter(
            "homeserver_bound_refusals_total",
            "How often a bound refused or evicted something.",
            bound,
        )
        self._bounds: dict[Bound, int] = {}

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange that is over."""
        if exchange.kind == "connection":
            if exchange.result is not None:
                self._handshakes.labels(exchange.direction, exchange.result).inc()
        elif exchange.direction == "in":
            self._count_request(exchange)
        elif exchange.result is not None:
            self._count_attempt(exchange)

    def _count_request(self, exchange: Exchange) -> None:
        method = exchange.method if exchange.method in _METHODS else _OTHER
        key = (exchange.listener, method, exchange.route, exchange.status)
        known = self._known_requests.get(key)
        if known is None:
            known = self._known_requests[key] = (
                self._requests.labels(*key[:3], exchange.status or "none"),
                self._request_seconds.labels(*key[:3]),
            )
        requests, seconds = known
        requests.inc()
        seconds.observe(exchange.seconds)
        if exchange.reason in FAILURES and not exchange.is_proven:
            self._authentication_failures.labels(exchange.reason).inc()

    def _count_attempt(self, exchange: Exchange) -> None:
        count, seconds = self._attempts[cast("Result", exchange.result)]
        count.inc()
        seconds.observe(exchange.seconds)

    def watch_connections(self, listener: str, count: Callable[[], int]) -> None:
        """Expose `count`, the number of open connections to a listener."""
        self._connections.labels(listener).set_function(count)

    def watch_bounds(self, bounds: Iterable[Bound]) -> None:
        """Expose these bounds."""
        for bound in bounds:
            self._bounds[bound] = 0
            self._bound_use.labels(bound.name).set_function(bound.use)
            self._bound_limit.labels(bound.name).set(bound.limit)
            self._bound_refusals.labels(bound.name)

    def collect_bounds(self) -> None:
        """Add what the bounds have refused since the last call."""
        for bound, counted in self._bounds.items():
            refusals = bound.refusals
            self._bound_refusals.labels(bound.name).inc(refusals - counted)
            self._bounds[bound] = refusals

    def count_transaction(self, received: ReceivedTransaction) -> None:
        """Count a recorded transaction, its PDUs and EDUs."""
        self._transactions.inc()
        self._problems.inc(len(received.problems))
        self._remarks.inc(len(received.remarks))
        for outcome, number in Tally(pdu.outcome for pdu in received.pdus).items():
            self._pdus.labels(outcome).inc(number)
        types = Tally(
            kind if (kind := edu["edu_type"]) in edus.TYPES else _OTHER
            for edu in received.edus
        )
        for kind, number in types.items():
            self._edus.labels(kind).inc(number)

    def count_verification(
        self, method: VerificationMethod, result: VerificationResult
    ) -> None:
        """Count an attempt to verify a peer."""
        self._verifications.labels(method, result).inc()

    def count_key_fetch(self, result: FetchResult) -> None:
        """Count a fetch of another server's keys."""
        self._key_fetches.labels(result).inc()

    def set_pending(self, totals: PendingTotals | None) -> None:
        """Set the size of the outbound queues; None if the store did not answer."""
        totals = totals or PendingTotals(nan, nan, nan, nan)
        self._entries.set(totals.entries)
        self._oldest.set(totals.oldest_seconds)
        self._destinations.labels("waiting").set(totals.waiting)
        self._destinations.labels("backing_off").set(totals.backing_off)

    def count_pruned(self, of: str, count: int) -> None:
        """Count rows that were removed from the store."""
        self._pruned.labels(of).inc(count)

    def observe_commit(self, jobs: int, seconds: float) -> None:
        """Count a commit of several jobs, and the time it took."""
        self._commit_jobs.observe(jobs)
        self._commits.observe(seconds)

    def observe_lag(self, seconds: float) -> None:
        """Count one measurement of the reactor lag."""
        self._reactor_lag.observe(seconds)

"""What is measured of one endpoint.

Rules of the room: a part that has something to tell is given the one method that takes
it, and knows nothing of metrics. Nothing that a peer chooses is a label: no server's
name, no path, no method or type that is not known here.

Names: Prometheus documentation, "Metric and label naming".
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from math import nan
from typing import Literal, get_args

from prometheus_client import Counter, Histogram

from homeserver import __version__
from homeserver.config.values import VerificationMethod
from homeserver.http.request_log import Account
from homeserver.http.tls_listener import HandshakeResult
from homeserver.inbound.authentication import FAILURES
from homeserver.keys.key_fetches import FetchResult
from homeserver.monitoring.registry import Registry
from homeserver.net.bounds import Bound
from homeserver.outbound.delivery.outcome import Attempt, Result
from homeserver.outbound.transport.verification import VerificationResult
from homeserver.protocol.events import edus
from homeserver.storage.judged_pdus import OUTCOMES
from homeserver.storage.outbox.progress import Owed
from homeserver.storage.pruner import PRUNED
from homeserver.storage.received import ReceivedTransaction

_OTHER = "other"

# The word that stands where a request has its method is the client's.
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})

# In seconds. A request whose origin's keys have to be fetched waits for them, and one
# of the control API may wait half a minute for something to happen.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10, 30)
_BLOCKED_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10)

_GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # jobs


class Metrics:
    """All that is measured of one endpoint."""

    def __init__(self) -> None:
        new = self.registry = Registry()

        new.gauge("homeserver_build_info", "Always 1.", {"version": ()}).labels(
            __version__
        ).set(1)

        listener = {"listener": ["federation", "control"]}
        by_route = {**listener, "method": (), "route": ()}
        self._requests = new.counter(
            "homeserver_http_requests_total",
            "Requests that were answered.",
            {**by_route, "status": ()},
        )
        self._request_seconds = new.histogram(
            "homeserver_http_request_duration_seconds",
            "From when a request had arrived until its answer was there.",
            _REQUEST_BUCKETS,
            by_route,
        )
        self._known_requests: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}
        self._connections = new.gauge(
            "homeserver_connections", "Connections that are open.", listener
        )
        self._handshakes = new.counter(
            "homeserver_tls_handshakes_total",
            "TLS handshakes of others with us (in) and of us with others (out). Those "
            "that the limits on connections forbid are refused.",
            {"direction": ["in", "out"], "result": get_args(HandshakeResult)},
        )

        self._authentication_failures = new.counter(
            "homeserver_authentication_failures_total",
            "Requests of other servers whose origin was not proven, by the reason.",
            {"reason": FAILURES},
        )
        self._transactions = new.counter(
            "homeserver_received_transactions_total",
            "Transactions that were recorded; one that comes again counts once.",
        )
        self._pdus = new.counter(
            "homeserver_received_pdus_total",
            "PDUs that were recorded, by the verdict on them.",
            {"verdict": OUTCOMES},
        )
        self._edus = new.counter(
            "homeserver_received_edus_total",
            "EDUs that were recorded, by their type.",
            {"edu_type": [*sorted(edus.TYPES), _OTHER]},
        )
        self._problems = new.counter(
            "homeserver_received_problems_total",
            "What was wrong with recorded transactions beside their PDUs.",
        )
        self._remarks = new.counter(
            "homeserver_received_remarks_total",
            "What was remarkable about recorded transactions: an ID that came before "
            "with other content.",
        )

        self._verifications = new.counter(
            "homeserver_peer_verifications_total",
            "Attempts to verify a peer that we connected to, by each method tried.",
            {
                "method": get_args(VerificationMethod),
                "result": get_args(VerificationResult),
            },
        )
        self._key_fetches = new.counter(
            "homeserver_key_fetches_total",
            "Fetches of another server's keys; one serves all who wait for it.",
            {"result": get_args(FetchResult)},
        )

        attempts = new.counter(
            "homeserver_delivery_attempts_total",
            "Attempts to deliver a transaction. Those that failed (the answer was no), "
            "found the server unreachable, met an internal error or were aborted are "
            "made again, unless it was dropped; what was rejected is not.",
            {"result": get_args(Result)},
        )
        attempt_seconds = new.histogram(
            "homeserver_delivery_attempt_duration_seconds",
            "From the beginning of an attempt, connecting included, until its answer "
            "was read.",
            _REQUEST_BUCKETS,
            {"result": get_args(Result)},
        )
        self._attempts = {
            result: (attempts.labels(result), attempt_seconds.labels(result))
            for result in get_args(Result)
        }
        owed = "; endpoints that share a store say the same."
        self._entries = new.gauge(
            "homeserver_outbound_entries",
            f"Entries of the queues that nothing has come of yet{owed}",
        )
        self._oldest = new.gauge(
            "homeserver_outbound_oldest_entry_age_seconds",
            f"For how long the oldest of them has been queued{owed}",
        )
        self._destinations = new.gauge(
            "homeserver_outbound_destinations",
            "Servers that are owed something: waiting for their turn, or backing_off "
            f"because the last attempt failed{owed}",
            {"state": ["waiting", "backing_off"]},
        )

        self._commits = new.histogram(
            "homeserver_store_commit_duration_seconds",
            "How long the store takes to write a group of jobs and commit it.",
            _BLOCKED_BUCKETS,
        )
        self._commit_jobs = new.histogram(
            "homeserver_store_commit_jobs",
            "How many jobs were committed together.",
            _GROUP_BUCKETS,
        )
        self._reactor_delay = new.histogram(
            "homeserver_reactor_delay_seconds",
            "How late a call comes that is due each second: for as long, nobody is "
            "heard.",
            _BLOCKED_BUCKETS,
        )

        self._pruned = new.counter(
            "homeserver_pruned_total",
            "Transactions, their content, and refusals that were removed from the "
            "store as too old or too much.",
            {"of": PRUNED},
        )
        bound = {"bound": ()}
        self._bound_use = new.gauge(
            "homeserver_bound_use", "How much of a bound is in use.", bound
        )
        self._bound_limit = new.gauge(
            "homeserver_bound_limit", "The most that a bound allows.", bound
        )
        self._bound_refusals = new.counter(
            "homeserver_bound_refusals_total",
            "How often a bound turned something away, or pushed something out.",
            bound,
        )
        self._bounds: dict[Bound, int] = {}

    def count_request(self, account: Account) -> None:
        """Count a request that was answered."""
        method = account.method if account.method in _METHODS else _OTHER
        key = (account.listener, method, account.route, str(account.status))
        if key not in self._known_requests:
            self._known_requests[key] = (
                self._requests.labels(*key),
                self._request_seconds.labels(*key[:3]),
            )
        requests, seconds = self._known_requests[key]
        requests.inc()
        seconds.observe(account.seconds)
        if account.failure is not None:
            self._authentication_failures.labels(account.failure).inc()

    def watch_connections(self, listener: str, count: Callable[[], int]) -> None:
        """Have `count` tell how many connections to a listener are open."""
        self._connections.labels(listener).set_function(count)

    def watch_bounds(self, bounds: Iterable[Bound]) -> None:
        """Have these bounds exposed."""
        for bound in bounds:
            self._bounds[bound] = 0
            self._bound_use.labels(bound.name).set_function(bound.use)
            self._bound_limit.labels(bound.name).set(bound.limit)
            self._bound_refusals.labels(bound.name)

    def collect_bounds(self) -> None:
        """Take in what the bounds have refused since the last time."""
        for bound, counted in self._bounds.items():
            refusals = bound.refusals
            self._bound_refusals.labels(bound.name).inc(refusals - counted)
            self._bounds[bound] = refusals

    def count_handshake(
        self, direction: Literal["in", "out"], result: HandshakeResult
    ) -> None:
        """Count a TLS handshake that is over."""
        self._handshakes.labels(direction, result).inc()

    def count_transaction(self, received: ReceivedTransaction) -> None:
        """Count a transaction that was recorded, and what is in it."""
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

    def count_attempt(self, attempt: Attempt) -> None:
        """Count an attempt to deliver a transaction."""
        count, seconds = self._attempts[attempt.result]
        count.inc()
        seconds.observe(attempt.seconds)

    def set_owed(self, owed: Owed | None) -> None:
        """Take in what is owed to other servers; None where the store does not say."""
        owed = owed or Owed(nan, nan, nan, nan)
        self._entries.set(owed.entries)
        self._oldest.set(owed.oldest_seconds)
        self._destinations.labels("waiting").set(owed.waiting)
        self._destinations.labels("backing_off").set(owed.backing_off)

    def count_pruned(self, of: str, count: int) -> None:
        """Count what was removed from the store."""
        self._pruned.labels(of).inc(count)

    def observe_commit(self, jobs: int, seconds: float) -> None:
        """Take in how many jobs were committed together, and how long that took."""
        self._commit_jobs.observe(jobs)
        self._commits.observe(seconds)

    def observe_delay(self, seconds: float) -> None:
        """Take in how late the reactor was."""
        self._reactor_delay.observe(seconds)

"""What is counted of what happens."""

import re
from collections.abc import Mapping

import pytest

from homeserver.monitoring.metrics import Metrics
from homeserver.net.bounds import Bound
from homeserver.net.exchange import Exchange
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.received import ReceivedTransaction
from tests.support.metric_series import families, series
from tests.support.signed_requests import THEM

SEND = "/_matrix/federation/v1/send/{txnId}"


def values(metrics: Metrics, name: str) -> Mapping[str, float]:
    """The series of one name that are not 0, by their labels."""
    found = series(metrics.registry.expose())
    return {
        labels.strip("{}"): value
        for key, value in found.items()
        if value and (labels := key.removeprefix(name)) != key
    }


def test_requests() -> None:
    """Requests are counted by listener, method, route and status, and timed."""
    metrics = Metrics()
    request = Exchange(
        listener="federation", method="PUT", route=SEND, status=200, seconds=0.02
    )
    metrics.observe(request)
    metrics.observe(request)
    metrics.observe(Exchange(listener="control", method="GET", status=404))
    where = f'listener="federation",method="PUT",route="{SEND}"'
    assert values(metrics, "homeserver_http_requests_total") == {
        f'{where},status="200"': 2.0,
        'listener="control",method="GET",route="other",status="404"': 1.0,
    }
    seconds = values(metrics, "homeserver_http_request_duration_seconds")
    assert seconds[f"_sum{{{where}"] == pytest.approx(0.04)
    assert seconds[f"_count{{{where}"] == 2.0


def test_a_method_that_a_client_invents() -> None:
    """A word that is no method of HTTP makes no series of its own."""
    metrics = Metrics()
    for word in ("BREW", "get", "x" * 200):
        metrics.observe(Exchange(listener="federation", method=word, status=405))
    assert values(metrics, "homeserver_http_requests_total") == {
        'listener="federation",method="other",route="other",status="405"': 3.0
    }


def test_an_origin_that_is_not_proven() -> None:
    """A request whose origin is not proven counts by the reason as well."""
    metrics = Metrics()
    metrics.observe(
        Exchange(listener="federation", method="PUT", reason="bad_signature")
    )
    metrics.observe(Exchange(listener="federation", method="GET", reason="rule"))
    assert values(metrics, "homeserver_authentication_failures_total") == {
        'reason="bad_signature"': 1.0
    }


def test_a_request_without_a_response() -> None:
    """It counts as one without a status."""
    metrics = Metrics()
    metrics.observe(Exchange(listener="federation", method="GET"))
    assert values(metrics, "homeserver_http_requests_total") == {
        'listener="federation",method="GET",route="other",status="none"': 1.0
    }


def transaction(*verdicts: str, types: tuple[str, ...] = ()) -> ReceivedTransaction:
    """A transaction that was recorded."""
    return ReceivedTransaction(
        THEM.server_name,
        "1",
        0,
        "ed25519:1",
        None,
        [JudgedPdu(None, None, verdict, b"{}") for verdict in verdicts],
        [{"edu_type": each, "content": {}} for each in types],
        ["one", "two"],
        b"{}",
    )


def test_transactions() -> None:
    """PDUs are counted by the verdict, EDUs by a type that is known, or as others."""
    metrics = Metrics()
    verdicts = ["accepted", "accepted", "redacted: content hash", "rejected: why"]
    metrics.count_transaction(
        transaction(*verdicts, types=("m.typing", "m.typing", "org.a", "org.b"))
    )
    metrics.count_transaction(transaction())
    assert values(metrics, "homeserver_received_transactions_total") == {"": 2.0}
    assert values(metrics, "homeserver_received_problems_total") == {"": 4.0}
    assert values(metrics, "homeserver_received_pdus_total") == {
        'verdict="accepted"': 2.0,
        'verdict="redacted"': 1.0,
        'verdict="rejected"': 1.0,
    }
    assert values(metrics, "homeserver_received_edus_total") == {
        'edu_type="m.typing"': 2.0,
        'edu_type="other"': 2.0,
    }


def test_connections() -> None:
    """The number of open connections is that of the moment of the scrape."""
    metrics = Metrics()
    channels = [1, 2]
    metrics.watch_connections("federation", lambda: len(channels))
    channels.append(3)
    assert values(metrics, "homeserver_connections") == {'listener="federation"': 3.0}


def test_peers() -> None:
    """Handshakes, verifications and fetches of keys are counted by their results."""
    metrics = Metrics()
    metrics.observe(Exchange("connection", "in", result="refused"))
    metrics.observe(Exchange("connection", "out", result="completed"))
    metrics.observe(Exchange("connection", "out", reason="not_connected"))
    metrics.observe(Exchange("dns", "out"))
    metrics.count_verification("key-document", "verified")
    metrics.count_key_fetch("failed")
    assert values(metrics, "homeserver_tls_handshakes_total") == {
        'direction="in",result="refused"': 1.0,
        'direction="out",result="completed"': 1.0,
    }
    assert values(metrics, "homeserver_peer_verifications_total") == {
        'method="key-document",result="verified"': 1.0
    }
    assert values(metrics, "homeserver_key_fetches_total") == {'result="failed"': 1.0}


def test_attempts() -> None:
    """Attempts to deliver are counted by what came of them, and timed."""
    metrics = Metrics()
    for result, seconds in [("delivered", 0.25), ("unreachable", 10.0), (None, 1.0)]:
        metrics.observe(Exchange(direction="out", result=result, seconds=seconds))
    assert values(metrics, "homeserver_delivery_attempts_total") == {
        'result="delivered"': 1.0,
        'result="unreachable"': 1.0,
    }
    assert values(metrics, "homeserver_delivery_attempt_duration_seconds_sum") == {
        'result="delivered"': 0.25,
        'result="unreachable"': 10.0,
    }


def test_commits() -> None:
    """A commit is counted with its jobs and the time that it took."""
    metrics = Metrics()
    metrics.observe_commit(3, 0.25)
    assert values(metrics, "homeserver_store_commit_jobs_sum") == {"": 3.0}
    assert values(metrics, "homeserver_store_commit_duration_seconds_sum") == {"": 0.25}


def test_delay() -> None:
    """How late the reactor was is a distribution."""
    metrics = Metrics()
    metrics.observe_lag(0.004)
    assert (
        values(metrics, "homeserver_reactor_delay_seconds_bucket")['le="0.005"'] == 1.0
    )


def test_names() -> None:
    """Names follow Prometheus' conventions, and each says what it is."""
    described = Metrics().registry.described
    for each in described:
        assert re.fullmatch("homeserver(_[a-z]+)+", each.name)
        assert each.name.endswith("_total") == (each.kind == "counter")
        assert each.help.endswith(".")
        if each.kind == "histogram":
            assert each.name.endswith(("_seconds", "_jobs"))
    names = [each.name for each in described]
    assert len(set(names)) == len(names)


def test_labels_are_few() -> None:
    """What is there from the beginning is no more than a monitor bears."""
    samples = [s for f in families(Metrics().registry.expose()) for s in f.samples]
    assert len(samples) < 250


def test_bounds() -> None:
    """Each bound has its use and its limit of now, and what it has refused so far."""
    metrics = Metrics()
    open_doors = [1]
    doors = Bound("doors", "open doors", 5, lambda: open_doors[0])
    windows = Bound("windows", "open windows", 7, lambda: 2)
    metrics.watch_bounds([doors, windows])
    for uses, refusals in [(3, 0), (5, 2), (0, 3)]:
        open_doors[0] = uses
        while doors.refusals < refusals:
            doors.refuse()
        metrics.collect_bounds()
        found = series(metrics.registry.expose())
        assert found['homeserver_bound_use{bound="doors"}'] == uses
        assert found['homeserver_bound_limit{bound="doors"}'] == 5
        assert found['homeserver_bound_refusals_total{bound="doors"}'] == refusals
        assert found['homeserver_bound_use{bound="windows"}'] == 2
        assert found['homeserver_bound_limit{bound="windows"}'] == 7
        assert found['homeserver_bound_refusals_total{bound="windows"}'] == 0

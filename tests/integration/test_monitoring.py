"""What two real daemons log and measure of what goes on between them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.processes import LOOPBACK, Endpoint, first_line
from tests.support.daemon_metrics import ask, metrics
from tests.support.daemons import endpoints

EDU = '{"edu_type": "m.test", "content": {}}'
PDU = json.dumps(
    {
        "type": "m.room.message",
        "room_id": "!r:alpha.test",
        "sender": "@a:alpha.test",
        "content": {"body": "hello"},
        "origin_server_ts": 1,
        "depth": 1,
        "prev_events": [],
        "auth_events": [],
    }
)
SEND = "/_matrix/federation/v1/send/{txnId}"


def logged(endpoint: Endpoint) -> list[dict[str, Any]]:
    """What an endpoint has logged."""
    return [json.loads(line) for line in endpoint.log.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Endpoint]]:
    """Alpha, which has sent beta a transaction, and beta; both run."""
    folder: Path = tmp_path_factory.mktemp("pair")
    with endpoints(folder, "alpha.test", "beta.test") as (alpha, beta):
        for each in (alpha, beta):
            with each.configuration.open("a") as file:
                file.write('\n[log]\nformat = "json"\n')
        with alpha.running() as first, beta.running() as second:
            first_line(first)
            first_line(second)
            alpha.ask("send", "beta.test", "--edu", EDU, "--pdu", PDU)
            ask(beta, "/health")
            ask(beta, "/v1/nothing")
            ask(beta, "/v1/bounds")
            yield [alpha, beta]


def test_metrics_of_who_receives(pair: list[Endpoint]) -> None:
    """The receiver counts the request, its contents, and its own look-ups."""
    found = metrics(pair[1])
    where = f'listener="federation",method="PUT",route="{SEND}"'
    assert found[f'homeserver_http_requests_total{{{where},status="200"}}'] == 1
    seconds = f"homeserver_http_request_duration_seconds_sum{{{where}}}"
    assert 0 < found[seconds] < 60
    assert found['homeserver_received_pdus_total{verdict="accepted"}'] == 1
    assert found['homeserver_received_edus_total{edu_type="other"}'] == 1
    assert found["homeserver_received_transactions_total"] == 1
    # Two connections, for there is one for alpha's request, and beta asks for keys.
    completed = 'homeserver_tls_handshakes_total{direction="%s",result="completed"}'
    assert found[completed % "in"] >= 1
    assert found[completed % "out"] >= 1
    verified = 'method="key-document",result="verified"'
    assert found[f"homeserver_peer_verifications_total{{{verified}}}"] >= 1
    assert found['homeserver_key_fetches_total{result="fetched"}'] == 1
    assert found["homeserver_store_commit_jobs_sum"] >= 2
    assert found["homeserver_store_commit_duration_seconds_count"] >= 1
    assert found["process_resident_memory_bytes"] > 10e6


def test_metrics_of_who_asks(pair: list[Endpoint]) -> None:
    """The connection over which the metrics are read is open while they are read."""
    assert metrics(pair[1])['homeserver_connections{listener="control"}'] >= 1


def test_metrics_of_who_sends(pair: list[Endpoint]) -> None:
    """The sender counts the attempt, and has nothing queued any more."""
    found = metrics(pair[0])
    assert found['homeserver_delivery_attempts_total{result="delivered"}'] == 1
    seconds = "homeserver_delivery_attempt_duration_seconds_sum"
    assert 0 < found[f'{seconds}{{result="delivered"}}'] < 60
    assert not [name for name in found if name.startswith("homeserver_outbound")]


def test_log_of_who_sends(pair: list[Endpoint]) -> None:
    """The attempt is one line, with its parts as members."""
    [line] = [each for each in logged(pair[0]) if each.get("destination")]
    assert (line["destination"], line["result"]) == ("beta.test", "delivered")
    assert (line["status"], 0 < line["seconds"] < 60) == (200, True)
    assert "isError" not in line, "what Twisted adds for its older observers"
    assert line["path"] == f"/_matrix/federation/v1/send/{line['txn_id']}"


BOUNDS = {
    "client_certificate_checks",
    "clients_by_diagnoses",
    "clients_by_servers",
    "clients_by_unproven_bodies",
    "connections_by_client",
    "connections_by_name",
    "connections_by_target",
    "control_body_bytes",
    "control_connections",
    "device_list_fetches",
    "dns_answers",
    "dns_questions",
    "federation_body_bytes",
    "federation_connections",
    "hanging_deliveries",
    "held_keys",
    "held_keys_bytes",
    "idle_connections",
    "kept_transaction_bytes",
    "key_fetches",
    "known_names",
    "known_names_bytes",
    "refusals_waiting",
    "remembered_keys_bytes",
    "sending_slots",
    "steps_by_client",
    "transactions_waiting",
    "well_known_answers",
    "well_known_fetches",
}


def test_bounds(pair: list[Endpoint]) -> None:
    """The command shows each bound that the metrics have, with the same limit."""
    found = metrics(pair[1])
    [state] = pair[1].ask("health", "--verbose")
    assert state["status"] == "ok"
    bounds = {each["name"]: each for each in state["bounds"]}
    assert bounds.keys() == BOUNDS
    assert {
        f'homeserver_bound_limit{{bound="{name}"}}': bound["limit"]
        for name, bound in bounds.items()
    } == {k: v for k, v in found.items() if k.startswith("homeserver_bound_limit")}
    done = pair[1].call("health", "--verbose")
    assert done.stdout.startswith("ok\n")
    assert "\nclient_certificate_checks: 0 of 1050 servers " in done.stdout
    assert pair[1].call("health").stdout == "ok\n"


def test_no_name_of_a_server_is_a_label(pair: list[Endpoint]) -> None:
    """Neither server is named in what the other one has measured."""
    for endpoint in pair:
        _, body = ask(endpoint, "/metrics")
        assert b".test" not in body


def test_log_of_who_receives(pair: list[Endpoint]) -> None:
    """The transaction is one line, with its parts as members."""
    [line] = [each for each in logged(pair[1]) if each.get("route") == SEND]
    assert (line["listener"], line["method"], line["status"]) == (
        "federation",
        "PUT",
        200,
    )
    assert (line["origin"], line["is_proven"]) == ("alpha.test", True)
    assert (line["pdus"], line["rejected"], line["edus"]) == (1, 0, 1)
    assert line["address"] == LOOPBACK
    assert 0 < line["seconds"] < 60
    assert line["path"].startswith("/_matrix/federation/v1/send/")


def test_log_of_what_is_routine(pair: list[Endpoint]) -> None:
    """Health checks and scrapes are no news; other requests to the control API are."""
    ask(pair[1], "/metrics")
    control = [each for each in logged(pair[1]) if each.get("listener") == "control"]
    assert {each["path"] for each in control} == {"/v1/nothing", "/v1/bounds"}


def test_no_secret_is_logged(pair: list[Endpoint]) -> None:
    """Neither the token, nor a key, nor a signature stands in a log."""
    for endpoint in pair:
        text = endpoint.log.read_text("utf-8")
        token = (endpoint.folder / "control.token").read_text("utf-8").strip()
        seed = (endpoint.folder / "signing.key").read_text("utf-8").split()[2]
        assert token not in text
        assert seed not in text
        assert "sig=" not in text

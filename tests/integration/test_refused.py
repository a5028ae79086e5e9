"""What a real daemon refused is told by a command, also after a restart."""

from pathlib import Path

from homeserver.config.reader import load
from homeserver.control.client import ControlClient
from homeserver.protocol.canonical_json import as_list, as_object
from scripts.processes import LOOPBACK, Endpoint, first_line, make_endpoint
from tests.support.trusting_client import fetch


def send(endpoint: Endpoint, txn_id: str) -> int:
    """Send a transaction without a header; the status."""
    return ask(endpoint, "PUT", f"/_matrix/federation/v1/send/{txn_id}", b"{}")


def ask(
    endpoint: Endpoint, method: str, path: str, body: bytes = b"", header: str = ""
) -> int:
    """Send a request, perhaps with an `Authorization` header; the status."""
    headers = {"Authorization": header} if header else {}
    got = fetch(endpoint.port, path, method=method, body=body, headers=headers)
    return got.status


def test_refused_over_restarts(tmp_path: Path) -> None:
    """What was refused a moment before the end is there after it, and IDs go on."""
    alpha = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with alpha.running() as process:
        first_line(process)
        assert send(alpha, "1") == 401
    with alpha.running() as process:
        first_line(process)
        [first] = alpha.ask("refused")
        assert (first["id"], first["address"]) == (1, LOOPBACK)
        assert first["path"] == "/_matrix/federation/v1/send/1"
        assert (first["reason"], first["status"]) == ("missing_header", 401)
        assert send(alpha, "2") == 401
        assert alpha.ask("refused", "--origin", "beta.test") == []
    with alpha.running() as process:
        first_line(process)
        assert [each["id"] for each in alpha.ask("refused")] == [1, 2]
        done = alpha.call("refused")
        assert done.returncode == 0
        assert "PUT /_matrix/federation/v1/send/2 of an unknown server" in done.stdout


def test_each_error(tmp_path: Path) -> None:
    """What is unknown or too large is kept over a restart, with its reason."""
    alpha = make_endpoint(
        tmp_path / "alpha", "alpha.test", "[limits]\nmax_body_bytes = 1000\n"
    )
    key = "/_matrix/key/v2/server"
    with alpha.running() as process:
        first_line(process)
        assert ask(alpha, "GET", "/_matrix/nothing") == 404
        assert ask(alpha, "DELETE", key) == 405
        assert ask(alpha, "PUT", "/_matrix/federation/v1/send/1", b"x" * 1001) == 413
    with alpha.running() as process:
        first_line(process)
        found = [(each["status"], each["reason"]) for each in alpha.ask("refused")]
    expected = [(404, "unknown_path"), (405, "method_not_allowed"), (413, "too_large")]
    assert found == expected


def test_at_once(tmp_path: Path) -> None:
    """What was refused is listed, reported and forgotten at once, each time."""
    alpha = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    header = (
        'X-Matrix origin="them.test",destination="else.test",key="ed25519:1",'
        f'sig="{"A" * 86}"'
    )
    path = "/_matrix/federation/v1/send/{}"
    with alpha.running() as process:
        first_line(process)
        client = ControlClient.of_config(alpha.configuration, load(alpha.configuration))
        for number in range(1, 21):
            assert ask(alpha, "PUT", path.format(number), b"{}", header) == 401
            if number % 2:
                listed = client.get("v1", "refused")
                assert len(as_list(listed["refused"], "refused")) == number
            else:
                report = client.get("v1", "peers", "them.test", "report")
                [check] = as_list(report["checks"], "checks")
                assert as_object(check, "a check")["count"] == number
        assert send(alpha, "21") == 401
        forgotten = client.delete("v1", "state", of="refused")
        assert forgotten == {"forgotten": {"refused": 21}}
        assert client.get("v1", "refused")["refused"] == []

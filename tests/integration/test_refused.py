"""What a real daemon refused is told by a command, also after a restart."""

import http.client
import ssl
from pathlib import Path

from scripts.processes import LOOPBACK, Endpoint, first_line, make_endpoint


def send(endpoint: Endpoint, txn_id: str) -> int:
    """Send a transaction without a header; the status."""
    return ask(endpoint, "PUT", f"/_matrix/federation/v1/send/{txn_id}", b"{}")


def ask(endpoint: Endpoint, method: str, path: str, body: bytes = b"") -> int:
    """Send a request; the status."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(
        LOOPBACK, endpoint.port, context=context, timeout=10
    )
    connection.request(method, path, body)
    status = connection.getresponse().status
    connection.close()
    return status


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
        assert "PUT /_matrix/federation/v1/send/2 of a server that" in done.stdout


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

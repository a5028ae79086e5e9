"""What the commands tell of other servers, and how they change it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.processes import Endpoint, first_line, make_endpoint
from tests.support.daemons import EDU, endpoints, running_alpha, send_in_vain
from tests.support.eventually import eventually


@pytest.fixture
def alpha(tmp_path: Path) -> Iterator[Endpoint]:
    """One endpoint that runs."""
    with running_alpha(tmp_path) as endpoint:
        yield endpoint


def test_refused_addresses_are_told_with_their_key(tmp_path: Path) -> None:
    """The error of a refused loopback address names the key to set."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with endpoint.running() as process:
        first_line(process)
        said = send_in_vain(endpoint, "127.0.0.1:1", EDU % 1)
    assert "127.0.0.1 is in the refused range 127.0.0.0/8" in said
    assert 'set allow = ["127.0.0.1"] in [network]' in said


def test_peers_and_keys_are_shown_and_forgotten(tmp_path: Path) -> None:
    """A peer's documents, its pin and its back-off are told, and can be changed."""
    with (
        endpoints(tmp_path, "alpha.test", "beta.test") as [alpha, beta],
        alpha.running() as process,
        beta.running() as other,
    ):
        first_line(process)
        first_line(other)
        [report] = alpha.ask("keys", beta.name)
        assert report["verified_by"] == "key-document"
        assert report["route"]["port"] == beta.port
        assert report["v1"]["problems"] == report["v2"]["problems"] == []
        keys = report["v1"]["document"]["verify_keys"]
        alpha.ask("send", beta.name, "--edu", EDU % 1)
        [peer] = alpha.ask("peers")
        assert peer["server_name"] == beta.name
        assert peer["verified_by"] == "key-document"
        assert peer["pinned_keys"] == keys
        assert peer["certificate_sha256"] == report["certificate_sha256"]
        assert (peer["queued"], peer["failures"]) == (0, 0)
        assert alpha.call("peers", "--forget", beta.name).returncode == 0
        assert alpha.ask("peers") == []
        assert alpha.call("peers", "--forget", beta.name).returncode == 1
        assert alpha.call("peers", "--retry", "no.test").returncode == 1


def test_a_retry_ends_a_back_off(tmp_path: Path) -> None:
    """A destination that is down is told with its failures, and tried when asked."""
    endpoint = make_endpoint(
        tmp_path / "alpha", "alpha.test", "[sending]\nfirst_retry_seconds = 3000\n"
    )
    with endpoint.running() as process:
        first_line(process)
        send_in_vain(endpoint, "127.0.0.1:1", EDU % 1)
        [before] = endpoint.ask("peers")
        assert (before["queued"], before["failures"]) == (1, 1)
        assert "refused range" in before["last_error"]
        assert endpoint.call("peers", "--retry", "127.0.0.1:1").returncode == 0
        last = {None, before["next_attempt_ts"]}
        eventually(lambda: endpoint.ask("peers")[0]["next_attempt_ts"] not in last)


def test_unreachable_keys_are_told(alpha: Endpoint) -> None:
    """A server that cannot be reached has no keys to show, and it is told why."""
    done = alpha.call("keys", "127.0.0.1:1")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("127.0.0.1:1 cannot be reached")

"""One process that is several servers: each has its own keys, and does its own work."""

import json
import signal
import ssl
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from homeserver.config.reader import load
from homeserver.control.client import ControlClient
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import parse_v1, parse_v2
from scripts.processes import LOOPBACK, Endpoint, first_line, homeserver
from tests.support.eventually import eventually
from tests.support.several_servers import Process, several
from tests.support.signed_requests import THEM
from tests.support.trusting_client import fetch

A, B, OWN = "a.test", "b.test", "own.test"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """Three servers in a process, of which one has a listener of its own."""
    with several(tmp_path, [A, B, OWN], OWN) as made, made.several.running() as running:
        lines = {first_line(running)}
        assert running.stdout is not None
        lines |= {running.stdout.readline().strip() for _ in range(2)}
        assert lines == {
            f"listening: {name} on {LOOPBACK}:{made.ports[name]}"
            for name in (A, B, OWN)
        }
        made.pid = running.pid
        yield made


def leaf(process: Process, name: str) -> bytes:
    """The certificate of a server, in DER."""
    return ssl.PEM_cert_to_DER_cert((process.folder(name) / "tls.crt").read_text())


# (the listener of, SNI, Host, whose certificate, whose key document)
CHOICES: list[tuple[str, str | None, str, str, str]] = [
    (A, None, "localhost", A, A),
    (A, A, A, A, A),
    (A, B, B, B, B),
    (A, B, "localhost", B, B),
    (A, None, B, A, B),
    (A, A, B, A, B),
    (A, OWN, OWN, OWN, OWN),
    (A, "unknown.test", "unknown.test", A, A),
    (OWN, None, "localhost", OWN, OWN),
    (OWN, A, A, OWN, OWN),
]


def test_whose_keys(process: Process) -> None:
    """Each server's key documents are its own, with the certificate that was shown."""
    for to, sni, host, shows, answers in CHOICES:
        name = ServerName.parse(answers)
        port, headers = process.ports[to], {"Host": host}
        status, body, shown = fetch(port, "/_matrix/key/v1", sni=sni, headers=headers)
        assert status == 200
        assert shown == leaf(process, shows)
        document = parse_v1(body, name)
        assert document.names_certificate(shown)
        v2 = "/_matrix/key/v2/server"
        _, body, shown = fetch(port, v2, sni=sni, headers=headers)
        assert shown == leaf(process, shows)
        second = parse_v2(body, name)
        assert second.names_certificate(shown)
        assert second.verify_keys == document.verify_keys


def test_whose_request(process: Process) -> None:
    """A signed request is for its destination, which has to be a server of ours."""
    target = "/_matrix/federation/v1/query/profile?user_id=@a:b.test"
    for destination, status in ((B, 401), ("none.test", 401)):
        header = THEM.authorize(
            "GET", target, destination=ServerName.parse(destination)
        )
        headers = {"Authorization": header, "Host": "localhost"}
        found, body, _ = fetch(process.ports[A], target, headers=headers)
        assert found == status
        error = json.loads(body)["error"]
        if destination == B:  # whose own key look-up fails, as nobody is there
            assert "no usable key" in error
        else:
            assert error.startswith(
                "the request is for 'none.test'; this server is a.test"
            )


def test_transactions(process: Process) -> None:
    """A transaction goes from each server, and to each, and only it knows of them."""
    with process.other.running() as other:
        first_line(other)
        for name in (A, B, OWN):
            edu = json.dumps({"edu_type": "m.test", "content": {"to": name}})
            [sent] = process.other.ask("send", name, "--edu", edu)
            assert sent["state"] == "delivered"
            [received] = process.several.ask("received", "--server", name)
            assert received["origin"] == "other.test"
            assert received["edus"][0]["content"] == {"to": name}
            arguments = ["other.test", "--server", name, "--edu", edu]
            [sent] = process.several.ask("send", *arguments)
            assert sent["state"] == "delivered"
            [peer] = process.several.ask("peers", "--server", name)
            assert peer["server_name"] == "other.test"
        assert [each["origin"] for each in process.other.ask("received")] == [A, B, OWN]
        # Without a name, all servers are meant, and each row says whose it is.
        of_all = process.several.ask("received")
        assert [each["server"] for each in of_all] == [A, B, OWN]
        assert [each["edus"][0]["content"]["to"] for each in of_all] == [A, B, OWN]
        assert f" [{B}] transaction " in process.several.call("received").stdout
        assert [each["server"] for each in process.several.ask("peers")] == [A, B, OWN]
        assert f"other.test [{OWN}]: " in process.several.call("peers").stdout
        told = process.several.call("report", "other.test").stdout
        assert f"transactions [{B}]: 1 transaction was accepted" in told


def test_listed(process: Process) -> None:
    """The daemon lists its servers, and says which there are."""
    client = ControlClient.of_config(
        process.several.configuration, load(process.several.configuration)
    )
    servers = client.get("v1", "servers")["servers"]
    assert isinstance(servers, list)
    assert [each["server_name"] for each in servers] == [A, B, OWN]
    for each in servers:
        name = str(each["server_name"])
        assert client.get("v1", "servers", name) == each
        assert each["listen"] == f"{LOOPBACK}:{process.ports[name]}"
        digest = sha256(leaf(process, name)).hexdigest()
        assert each["certificate_sha256"] == digest
        assert client.get("v1", "servers", name, "received")["transactions"] == []
    assert len({each["verify_key"] for each in servers}) == 3
    done = process.several.call("received", "--server", "c.test")
    assert done.returncode == 1
    assert "'c.test' is not a server here; there is a.test, b.test" in done.stderr


def test_reload(process: Process) -> None:
    """Each server takes up what is new; one with broken files keeps what it has."""
    before = leaf(process, B)
    for name in (A, B):
        homeserver("init", "--server-name", name, str(process.folder("new") / name))
        for file in ("tls.crt", "tls.key"):
            text = (process.folder("new") / name / file).read_bytes()
            (process.folder(name) / file).write_bytes(text)
    (process.folder(B) / "tls.key").write_bytes(b"broken")
    process.signal(signal.SIGHUP)
    _until(process.several, "nothing reloaded of b.test: ", "own.test: signing keys")
    port, local = process.ports[A], {"Host": "localhost"}
    shown = fetch(port, "/_matrix/key/v1", sni=A, headers=local).certificate
    assert shown == leaf(process, A)
    status, body, shown = fetch(port, "/_matrix/key/v1", sni=B, headers=local)
    assert (status, shown) == (200, before)
    assert parse_v1(body, ServerName.parse(B)).names_certificate(before)


def _until(endpoint: Endpoint, *texts: str) -> None:
    """Wait until these are in the log."""
    eventually(lambda: all(text in endpoint.log.read_text() for text in texts))

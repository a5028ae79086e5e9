"""What one forged request makes a real daemon do to third parties, and say of them."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Self

import pytest

from scripts.processes import (
    AT_HOME,
    LOOPBACK,
    Endpoint,
    first_line,
    free_ports,
    make_endpoint,
    running_nameserver,
)
from tests.support.http_connection import Answer, request
from tests.support.raw_client import talking

TARGETS = 20  # of each name; as many as are looked at

SEND = "/_matrix/federation/v1/send/1"

_MAX_HELLO = 2000  # bytes of a ClientHello, of which a connection that fails has one


class Victim:
    """Ports of a third party, at which something else than TLS answers."""

    def __init__(self) -> None:
        self._sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(TARGETS)]
        self.ports = [each.getsockname()[1] for each in self._sockets]
        self.connections = 0
        self.received = 0
        """Bytes that came."""

        self._wake, self._woken = socket.socketpair()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.close()
        self._thread.join()
        for each in (*self._sockets, self._woken):
            each.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (*self._sockets, self._woken):
                selector.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        return
                    assert isinstance(key.fileobj, socket.socket)
                    self._answer(key.fileobj.accept()[0])

    def _answer(self, connection: socket.socket) -> None:
        self.connections += 1
        with connection:
            connection.settimeout(10)
            self.received += len(connection.recv(65536))
            connection.sendall(b"220 victim.test ESMTP\r\n")


@contextmanager
def running(folder: Path, victim: Victim, names: list[str]) -> Iterator[Endpoint]:
    """A daemon that runs; each of `names` leads to each port of a victim."""
    [port] = free_ports(1)
    nameserver = f"{LOOPBACK}:{port}"
    zone = [f"victim.test A {LOOPBACK}", f"closed.test A {LOOPBACK}"]
    zone += [
        f"_matrix-fed._tcp.{name} SRV 0 0 {port} victim.test"
        for name in names
        for port in victim.ports
    ]
    endpoint = make_endpoint(
        folder / "alpha", "alpha.test", AT_HOME.format(nameserver=nameserver)
    )
    with (
        running_nameserver(nameserver, zone, folder / "dns.log"),
        endpoint.running() as process,
    ):
        first_line(process)
        yield endpoint


def forge(endpoint: Endpoint, origin: str) -> Answer:
    """The answer to a request that says that it is of `origin`."""
    header = f'X-Matrix origin="{origin}",key="ed25519:1",sig="{"A" * 86}"'
    with talking(endpoint.port) as talk:
        talk.send(request("PUT", SEND, [f"Authorization: {header}"], b'{"pdus":[]}'))
        return talk.answer()


@pytest.fixture
def victim() -> Iterator[Victim]:
    """A third party."""
    with Victim() as victim:
        yield victim


def test_one_request(tmp_path: Path, victim: Victim) -> None:
    """A forged request costs a third party two connections; ours may cost twenty."""
    with running(tmp_path, victim, ["evil.test"]) as endpoint:
        assert forge(endpoint, "evil.test").status == 401
        assert victim.connections == 2
        assert victim.received <= 2 * _MAX_HELLO
        assert forge(endpoint, "evil.test:8448").status == 401
        for _ in range(20):
            forge(endpoint, "evil.test")
        assert victim.connections <= 10
        before = victim.connections
        done = endpoint.call("keys", "evil.test")
        assert done.returncode == 1
        assert victim.connections - before == TARGETS


def test_notary(tmp_path: Path, victim: Victim) -> None:
    """A question about a hundred names costs two connections each, not twenty."""
    names = [f"n{number}.test" for number in range(100)]
    body = b'{"server_keys":{%s}}' % b",".join(
        b'"%s":{}' % name.encode() for name in names
    )
    with running(tmp_path, victim, names) as endpoint:
        for _ in range(3):
            with talking(endpoint.port) as talk:
                talk.send(request("POST", "/_matrix/key/v2/query", [], body))
                answer = talk.answer()
            assert (answer.status, answer.json) == (200, {"server_keys": []})
    assert 100 <= victim.connections <= 2 * len(names)
    assert victim.received <= 2 * len(names) * _MAX_HELLO


def test_what_strangers_learn(tmp_path: Path, victim: Victim) -> None:
    """An open port without TLS, a closed one and a refused address look the same."""
    [closed] = free_ports(1)
    places = [
        f"victim.test:{victim.ports[0]}",
        f"closed.test:{closed}",
        "10.0.0.1:22",
        "nowhere.test:22",
    ]
    with running(tmp_path, victim, []) as endpoint:
        answers = [forge(endpoint, place) for place in places]
        told = endpoint.log.read_text("utf-8").splitlines()[-len(places) :]
    said = [
        str(answer.json["error"]).replace(place, "X")
        for answer, place in zip(answers, places, strict=True)
    ]
    assert len(set(said)) == 1
    assert said[0].endswith(
        "fetching them failed: no connection to X could be verified"
    )
    assert all(len(answer.body) <= 1024 for answer in answers)
    expected = ["TLS handshake failed", "refused", "10.0.0.0/8", "nowhere.test"]
    assert all(part in text for part, text in zip(expected, told, strict=True))

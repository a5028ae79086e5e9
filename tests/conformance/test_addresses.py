"""Addresses of a run: given once, silent where they are to be, or not to be had."""

import errno
import socket
from collections.abc import Callable

import pytest

from homeserver.conformance.addresses import Addresses, silent
from homeserver.conformance.outcome import NotTestable
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import DEFAULT_PORT
from tests.support.conformance_stage import Stage
from tests.support.eventually import HANGING_SECONDS


def _addresses(stage: Stage, shared: str = "127.0.0.1") -> Addresses:
    return Addresses(shared, stage.lab.endpoint.parts.listeners)


def test_an_address_is_given_once(on_stage: Stage) -> None:
    """Each is another one of loopback, whose usual port is free."""
    addresses = _addresses(on_stage)
    given = [addresses.fresh() for _ in range(5)]
    assert len(set(given)) == 5
    for each in given:
        with socket.create_server((each, DEFAULT_PORT)):
            pass


@pytest.mark.parametrize("shared", ["10.0.0.1", "::1"])
def test_only_loopback_has_other_addresses(on_stage: Stage, shared: str) -> None:
    """It says what to do."""
    with pytest.raises(NotTestable, match=r"--listen 127\.0\.0\.1:8448"):
        _addresses(on_stage, shared).fresh()


def test_no_address_is_given_where_all_ports_are_taken(
    on_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a system that knows one address of loopback alone."""

    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EADDRNOTAVAIL, "no such address")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(NotTestable, match="no such address"):
        _addresses(on_stage).fresh()


def test_a_listener_of_ipv6_is_shared(on_stage: Stage) -> None:
    """It accepts connections."""
    addresses = _addresses(on_stage)
    where = addresses.by_ipv6()
    assert where == addresses.by_ipv6()
    with socket.create_connection((where.host, where.port), timeout=HANGING_SECONDS):
        pass


def test_a_listener_of_ipv4_alone_refuses_ipv6(on_stage: Stage) -> None:
    """It accepts connections to the shared address."""
    where = _addresses(on_stage).by_ipv4_alone()
    with socket.create_connection((where.host, where.port), timeout=HANGING_SECONDS):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", where.port), timeout=HANGING_SECONDS)


def test_a_lab_of_ipv6_has_no_listener_of_ipv4(on_stage: Stage) -> None:
    """The check is not testable then."""
    with pytest.raises(NotTestable, match="::1 is the only address"):
        _addresses(on_stage, "::1").by_ipv4_alone()


def test_a_silent_port_answers_nothing() -> None:
    """A connection to it is neither taken nor refused; afterwards it is refused."""
    where = SocketAddress("127.0.0.1", _free_port())
    with silent(where), pytest.raises(TimeoutError):
        socket.create_connection((where.host, where.port), timeout=0.2)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((where.host, where.port), timeout=HANGING_SECONDS)


def test_a_port_in_use_is_not_silent() -> None:
    """The check is not testable then."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = SocketAddress("127.0.0.1", other.getsockname()[1])
        with pytest.raises(NotTestable, match="in use"), silent(where):
            pass


def test_a_full_queue_that_answers_is_not_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a system that counts connections in another way."""
    create: Callable[..., socket.socket] = socket.create_server

    def create_longer(address: tuple[str, int], **_: object) -> socket.socket:
        return create(address, backlog=100)

    monkeypatch.setattr(socket, "create_server", create_longer)
    where = SocketAddress("127.0.0.1", _free_port())
    with pytest.raises(NotTestable, match="goes on to answer"), silent(where):
        pass


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port

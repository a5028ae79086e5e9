"""The name servers of the system, as its `resolv.conf` has them."""

import gc
import weakref
from pathlib import Path
from typing import cast

import pytest
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.testing import MemoryReactorClock

from homeserver.outbound.discovery.name_servers import DnsClient, Server
from homeserver.outbound.discovery.resolv_conf import ResolvConf
from tests.support.tables import cases

MACHINE = [("127.0.0.1", 53)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "resolv.conf"


@cases(
    "text servers",
    [
        ("none", b"", MACHINE),
        ("one", b"nameserver 192.0.2.1\n", [("192.0.2.1", 53)]),
        (
            "two, in their order",
            b"nameserver 192.0.2.2\nnameserver\t2001:db8::1",
            [("192.0.2.2", 53), ("2001:db8::1", 53)],
        ),
        (
            "other lines",
            b"# nameserver 192.0.2.1\nsearch a.test\noptions ndots:1\ndomain\n",
            MACHINE,
        ),
        (
            "none in its line",
            b"nameserver\nnameserver 192.0.2.1 # the next one\n",
            [("192.0.2.1", 53)],
        ),
        (
            "no address in its line",
            b"nameserver foo\nnameserver 192.0.2.2#c\nnameserver 192.0.2.1\n",
            [("192.0.2.1", 53)],
        ),
        ("no address at all", b"nameserver foo\n", MACHINE),
        (
            "a zone, which the system takes",
            b"nameserver fe80::1%lo\n",
            [("fe80::1%lo", 53)],
        ),
        (
            "a comment that is no text",
            b"# \xff\nnameserver 192.0.2.1\n",
            [("192.0.2.1", 53)],
        ),
    ],
)
def test_servers(path: Path, text: bytes, servers: list[Server]) -> None:
    """Each line with a name server has one; without any, the machine is one."""
    path.write_bytes(text)
    assert ResolvConf(path, MemoryReactorClock()).servers() == servers


def test_no_file(path: Path) -> None:
    """The machine is its own name server."""
    assert ResolvConf(path, MemoryReactorClock()).servers() == MACHINE


def test_a_change_is_seen_after_a_minute(path: Path) -> None:
    """Servers that are asked for are read again, if they were read a minute ago."""
    clock = MemoryReactorClock()
    found = ResolvConf(path, clock)
    assert found.servers() == MACHINE
    path.write_text("nameserver 192.0.2.1")
    clock.advance(59)
    assert found.servers() == MACHINE
    clock.advance(1)
    assert found.servers() == [("192.0.2.1", 53)]


def test_what_cannot_be_read_changes_nothing(path: Path) -> None:
    """A file that is damaged for a while takes no name server away."""
    clock = MemoryReactorClock()
    path.write_text("nameserver 192.0.2.1")
    found = ResolvConf(path, clock)
    assert found.servers() == [("192.0.2.1", 53)]
    path.unlink()
    path.mkdir()
    clock.advance(60)
    assert found.servers() == [("192.0.2.1", 53)]


def test_a_client_goes_with_its_last_user(path: Path) -> None:
    """Nothing waits in the reactor that would keep it."""
    clock = MemoryReactorClock()
    reactor = cast("PosixReactorBase", clock)
    client = DnsClient(ResolvConf(path, clock).servers, reactor)
    client.lookupAddress("a.test", timeout=[1]).addErrback(lambda _: None)
    clock.advance(2)
    assert clock.getDelayedCalls() == []
    reference = weakref.ref(client)
    del client
    gc.collect()
    assert reference() is None

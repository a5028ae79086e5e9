"""What workers share, each in a process of its own."""

import json
import os
import signal
import socket
from collections.abc import Callable
from contextlib import closing

import pytest
from twisted.internet.task import Clock

from homeserver.app.worker import Bell, Link, ProcessLocks, with_ports
from homeserver.config.values import Config, Limits, ServerConfig
from homeserver.http.bounded_request import connections_to, federation_limits
from homeserver.inbound.diagnosis_budget import DiagnosisBudget
from homeserver.inbound.gate import count_unproven
from homeserver.inbound.notary_queries import count_queries
from homeserver.net.addresses import SocketAddress
from homeserver.users.device_list_fetches import device_list_shares
from tests.support.our_names import OUR_NAME
from tests.support.waiting import pause, reactor, wait


def in_another_process(work: Callable[[], object]) -> tuple[int, int]:
    """The ID of a process that does some work and lives on, and a pipe for its end."""
    ready, told = os.pipe()
    ends, end = os.pipe()
    process_id = os.fork()
    if process_id == 0:
        os.close(end)
        try:
            work()
            os.write(told, b".")
            os.read(ends, 1)
        finally:
            os._exit(0)
    os.close(told)
    os.close(ends)
    assert os.read(ready, 1) == b"."
    os.close(ready)
    return process_id, end


def test_a_lock_ends_with_its_process() -> None:
    """One process has it at a time, and a killed one has it no more."""
    locks = ProcessLocks()
    other, end = in_another_process(lambda: locks.take("a"))
    try:
        assert not locks.take("a")
        assert locks.take("b")
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
        os.close(end)
    assert locks.take("a")
    locks.release("a")
    other, end = in_another_process(lambda: locks.take("a") or os._exit(1))
    os.close(end)
    os.waitpid(other, 0)


def test_a_bell_is_heard() -> None:
    """Worker 1 hears it, however often it was rung."""
    bell = Bell()
    heard: list[None] = []
    bell.listen(reactor, lambda: heard.append(None))
    for _ in range(3):
        bell.ring()
    wait(until(lambda: bool(heard)))
    assert len(heard) == 1
    bell.ring()
    wait(until(lambda: len(heard) == 2))


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds."""
    while not condition():
        await pause(0.01)


@pytest.mark.parametrize("last", [b"finish", b""])
def test_a_link(last: bytes) -> None:
    """A worker reports, reloads, and finishes, also without a supervisor."""
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    obeyed: list[str] = []
    with closing(theirs):
        link = Link(theirs, None)
        link.tell_ready({"127.0.0.1:0": 4711})
        link.tell("WATCHDOG=1")
        ready = ours.recv(1000).decode()
        assert json.loads(ready.removeprefix("READY=1\nX_PORTS=")) == {
            "127.0.0.1:0": 4711
        }
        assert ours.recv(1000) == b"WATCHDOG=1"
        try:
            link.obey(
                reactor,
                lambda: obeyed.append("finish"),
                lambda: obeyed.append("reload"),
            )
            assert {signal.getsignal(n) for n in before} == {signal.SIG_IGN}
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        ours.send(b"reload")
        if last:
            ours.send(last)
        ours.close()
        wait(until(lambda: len(obeyed) == 2))
        link.tell("STOPPING=1")  # nobody hears it
    assert obeyed == ["reload", "finish"]


def test_ports_that_were_chosen() -> None:
    """An address without a port gets the one that worker 1 has chosen."""
    free, own = SocketAddress("127.0.0.1", 0), SocketAddress("127.0.0.1", 8448)
    for configured, expected in ((free, 4711), (own, 8448)):
        config = Config(
            servers=(ServerConfig(server_name=OUR_NAME, listen=configured),)
        )
        [server] = with_ports(config, {"127.0.0.1:0": 4711}).servers
        assert server.listen == SocketAddress("127.0.0.1", expected)


def test_parts_of_limits() -> None:
    """Each of three workers has a third of what a client may have, or what it needs."""
    limits = Limits(
        max_connections=100, max_connections_per_address=2, max_arriving_megabytes=3
    )
    connections = connections_to(limits, Clock(), 3)
    assert connections.bound.limit == 33
    assert [connections.admit("192.0.2.1") for _ in range(1)] == [True]
    assert federation_limits(limits, 3).bodies.bound.limit == 2**20
    unproven = count_unproven(Clock(), workers=3)
    unproven.take("192.0.2.1", 333)
    with pytest.raises(Exception, match=r"16\.6667 unproven bodies a second"):
        unproven.take("192.0.2.1", 1)
    queries = count_queries(Clock(), workers=5)
    queries.take("192.0.2.1", 300)
    with pytest.raises(Exception, match=" 1 servers a second"):
        queries.take("192.0.2.1", 1)
    diagnoses = DiagnosisBudget(Clock(), workers=4)
    assert [diagnoses.take("192.0.2.1") for _ in range(2)] == [True, False]
    assert device_list_shares(Clock(), workers=3).bound.limit == 2
    assert device_list_shares(Clock(), workers=9).bound.limit == 1

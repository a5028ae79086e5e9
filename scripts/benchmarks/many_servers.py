"""Many servers of ours in one process: how long they take, and how much memory.

    python -m scripts.benchmarks.many_servers [COUNT [EXCHANGING]]

Starts COUNT servers (1,000 by default) in this process, with the store in memory, and
one other server beside them. EXCHANGING of them (all by default) get a transaction of
that server, and send it one. Each has a signing key and a certificate of its own, made
when something needs them.
"""

import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import SystemRandom
from tempfile import TemporaryDirectory
from typing import cast

from nacl.signing import SigningKey as NaclSigningKey
from twisted.internet import reactor as global_reactor  # noqa: TID251 - it is run here
from twisted.internet.defer import Deferred
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from homeserver.app.credentials import Credentials
from homeserver.app.endpoint import Endpoint as OurServers
from homeserver.app.shared import Outside
from homeserver.app.store import Store, passing_store
from homeserver.config.reader import load
from homeserver.config.values import (
    Config,
    Control,
    Discovery,
    Dns,
    Limits,
    Network,
    ServerConfig,
)
from homeserver.control.client import ControlClient
from homeserver.identity.identity import Identity
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.net.wall_clock import steady
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey
from scripts.processes import (
    AT_HOME,
    LOOPBACK,
    first_line,
    free_ports,
    make_endpoint,
    running_nameserver,
)
from tests.support.certificates import issue_for

_OTHER = ServerName.parse("other.test")
_EDU: Json = {"edu_type": "m.test", "content": {}}
_PATIENCE_SECONDS = 600.0
_AT_ONCE = 20

_reactor = steady(cast("PosixReactorBase", global_reactor))


def main() -> None:
    """Run it, and print what was measured."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    exchanging = int(sys.argv[2]) if len(sys.argv) > 2 else count
    failures: list[Failure] = []

    def begin() -> None:
        with_folder = Deferred.fromCoroutine(_in_folder(count, exchanging))
        with_folder.addErrback(failures.append)
        with_folder.addBoth(lambda _: _reactor.stop())

    _reactor.callWhenRunning(begin)
    _reactor.run()
    for failure in failures:
        failure.raiseException()


async def _in_folder(count: int, exchanging: int) -> None:
    with TemporaryDirectory() as folder:
        dns_port, port = free_ports(2)
        dns = f"{LOOPBACK}:{dns_port}"
        other = make_endpoint(
            Path(folder) / "other",
            _OTHER.name,
            AT_HOME.format(nameserver=dns)
            + "[discovery]\nwell_known = false\n"
            + '[limits]\ntrusted_clients = ["127.0.0.1"]\n',
        )
        names = [ServerName.parse(f"n{number}.test") for number in range(count)]
        ports = {name.name: port for name in names[:exchanging]}
        ports[_OTHER.name] = other.port
        zone = [f"{name} A {LOOPBACK}" for name in ports]
        zone += [f"_matrix._tcp.{n} SRV 0 0 {p} {n}" for n, p in ports.items()]
        log = Path(folder) / "dns.log"
        with running_nameserver(dns, zone, log), other.running() as process:
            first_line(process)
            client = ControlClient.of_config(
                other.configuration, load(other.configuration)
            )
            await _measure(names, exchanging, port, dns, client)


async def _measure(
    names: list[ServerName], exchanging: int, port: int, dns: str, other: ControlClient
) -> None:
    stores: list[Store] = []

    def make_store(_: object) -> Store:
        stores.append(passing_store(_reactor))
        return stores[0]

    where = SocketAddress(LOOPBACK, port)
    loopback = AddressRange.parse("127.0.0.0/8")
    config = Config(
        servers=(),
        discovery=Discovery(well_known=False),
        dns=Dns(servers=(SocketAddress.parse(dns),)),
        network=Network(allow=(loopback,)),
        control=Control(listen=None),
        limits=Limits(trusted_clients=(loopback,)),
    )
    _tell("before", 0.0)
    began = time.process_time()
    ours = OurServers(
        Path("unread.toml"), config, {}, _reactor, SystemRandom(), Outside(make_store)
    )
    await ours.start()
    servers = [
        await ours.add(
            ServerConfig(server_name=name, listen=where),
            Credentials(partial(_make_identity, name)),
            (),
        )
        for name in names
    ]
    _tell(f"{len(names)} servers", time.process_time() - began)

    began = time.process_time()
    for name in names[:exchanging]:
        await deferToThread(
            other.post, "v1", "send", name.name, content={"edus": [_EDU]}
        )

    async def received() -> int:
        rows = await stores[0].database.read(
            lambda cursor: cursor.execute(
                "SELECT COUNT(DISTINCT server_name) FROM received_transactions"
            ).fetchone()
        )
        return int(rows[0])

    await _until(received, exchanging)
    _tell(f"a transaction to each of {exchanging}", time.process_time() - began)

    async def delivered() -> int:
        rows = await stores[0].database.read(
            lambda cursor: cursor.execute(
                "SELECT COUNT(*) FROM destinations WHERE due_ts IS NULL"
                " AND failures = 0 AND destination = ?",
                (_OTHER.name,),
            ).fetchone()
        )
        return int(rows[0])

    began = time.process_time()
    # A few at a time, as the memory that many deliveries take at one moment is another
    # question.
    for begin in range(0, exchanging, _AT_ONCE):
        end = min(begin + _AT_ONCE, exchanging)
        for server in servers[begin:end]:
            await server.outgoing.enqueue(_OTHER, [], [_EDU])
        await _until(delivered, end)
    _tell(f"a transaction of each of {exchanging}", time.process_time() - began)
    await ours.stop()


async def _until(count: Callable[[], Awaitable[int]], wanted: int) -> None:
    deadline = _reactor.seconds() + _PATIENCE_SECONDS
    while (found := await count()) < wanted:
        if _reactor.seconds() > deadline:
            raise TimeoutError(f"{found} of {wanted}")
        await deferLater(_reactor, 0.05)


def _make_identity(name: ServerName) -> Identity:
    key = SigningKey(KeyId("ed25519:1"), NaclSigningKey.generate())
    return Identity(name, [key], [], issue_for(name.name).value)


def _tell(what: str, seconds: float) -> None:
    status = Path("/proc/self/status").read_text("ascii")
    lines = (line.split() for line in status.splitlines())
    values = {
        line[0]: int(line[1]) for line in lines if line[0] in {"VmRSS:", "Threads:"}
    }
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one number is wanted
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{what}: {seconds:.2f} s of CPU, {values['VmRSS:'] // 1024} MB "
        f"(at most {peak}), {values['Threads:']} threads, {files} files",
        flush=True,
    )


if __name__ == "__main__":
    main()

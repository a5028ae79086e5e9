"""A lab and a target of ours in this process, for runs of the checks.

Rules: the target is an endpoint of ours with real sockets. A fault wraps the answers of
its routes or replaces a part of it, for one run; nothing of it is in the package.
"""

import secrets
import socket
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
)
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from homeserver.app.credentials import Credentials
from homeserver.app.endpoint import Endpoint
from homeserver.app.server import Server
from homeserver.app.shared import Outside
from homeserver.app.store import passing_store
from homeserver.config.values import (
    Config,
    Control,
    Dns,
    Limits,
    Log,
    Network,
    Profile,
    Sending,
    ServerConfig,
    Verification,
)
from homeserver.conformance import preflight
from homeserver.conformance.check import STANDARD_PORTS
from homeserver.conformance.ground import Ground
from homeserver.conformance.options import ConformOptions
from homeserver.conformance.preflight import Given
from homeserver.conformance.registry import all_checks, select, with_prerequisites
from homeserver.conformance.result import Result
from homeserver.conformance.run import ground_of
from homeserver.conformance.runner import Plan, Runner
from homeserver.conformance.setup import Maker
from homeserver.http.router import Answer, Route
from homeserver.identity.identity import Identity
from homeserver.lab.folder import Folder
from homeserver.lab.lab import Lab
from homeserver.lab.options import DEFAULT_ALLOW, LOOPBACK, LabOptions
from homeserver.lab.record.match import Match
from homeserver.lab.seed import Seed
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.net.wall_clock import steady
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.users.made_keys import KeyMaker
from homeserver.users.media import File, Media
from homeserver.users.users import Device, User
from tests.support.target_rooms import TargetRooms
from tests.support.waiting import reactor, wait

_MEDIA = "known"

_ANY_PORT = SocketAddress("127.0.0.1", 0)
_SECONDS = 900.0  # for all checks; machines are shared
_ALLOW = tuple(map(AddressRange.parse, DEFAULT_ALLOW))


@dataclass(frozen=True)
class Fault:
    """What is wrong with a target."""

    wrap: Callable[[Route], Answer] = field(default=lambda route: route.answer)
    """Makes the answer of each federation route."""

    patched: Callable[[], AbstractContextManager[object]] = nullcontext
    """Replaces a part of the package for as long as the target runs."""


SOUND = Fault()

Behind = Callable[[SocketAddress], AbstractContextManager[SocketAddress]]
"""Stands before the address of a target for as long as a run; the address to ask."""


@dataclass(frozen=True)
class Stage:
    """A running lab, beside which targets come and go."""

    lab: Lab
    is_whole: bool = True
    """Whether each fault meets all checks of its areas."""

    @property
    def has_ports(self) -> bool:
        """Whether the lab listens at the ports of names without a port."""
        host = self.lab.servers.shared.listen.host
        is_open = self.lab.endpoint.parts.listeners.is_open
        return all(is_open(SocketAddress(host, each)) for each in (443, 8448))

    def testable(self, ids: Iterable[str]) -> set[str]:
        """Those of some checks whose need of ports can be met."""
        checks = all_checks()
        return {
            each
            for each in ids
            if self.has_ports or STANDARD_PORTS not in checks[each].needs
        }

    def met_by_fault(self, expected: Set[str], only: Sequence[str]) -> Sequence[str]:
        """The checks that a fault meets: those that it turns red, or all of `only`."""
        return only if self.is_whole or not expected else sorted(expected)

    def run(
        self,
        only: Sequence[str],
        fault: Fault = SOUND,
        skip: Sequence[str] = (),
        behind: Behind = nullcontext,
    ) -> Mapping[str, Result]:
        """The results of checks against a target with a fault, by ID."""
        return wait(self._run(only, fault, skip, behind), _SECONDS)

    async def _run(
        self, only: Sequence[str], fault: Fault, skip: Sequence[str], behind: Behind
    ) -> Mapping[str, Result]:
        with fault.patched(), ExitStack() as stack:
            endpoint, ground = await self.target(fault)
            try:
                where = stack.enter_context(behind(_local(ground.target)))
                ground = ground_of(self.lab, _options(ground.target, where))
                given = Given(users=[f"@alice:{ground.target}"])
                maker = TargetRooms(endpoint, ground.target, _MEDIA)
                run = _results(ground, given, only, skip, maker)
                return await self._tidily(run)
            finally:
                await endpoint.stop()

    def run_against(
        self, name: str, only: Sequence[str], skip: Sequence[str] = ()
    ) -> Mapping[str, Result]:
        """The results of checks against another server at 127.0.0.1, by ID."""
        server = ServerName.parse(name)
        ground = ground_of(self.lab, _options(server, _local(server)))
        run = _results(ground, Given(), only, skip)
        return wait(self._tidily(run), _SECONDS)

    async def _tidily(
        self, run: Awaitable[Mapping[str, Result]]
    ) -> Mapping[str, Result]:
        """The results of checks, whose servers and exchanges go with them.

        They would fill the memory of the process: a module has many runs.
        """
        servers = self.lab.servers
        before = set(servers.names)
        try:
            return await run
        finally:
            for name in [each for each in servers.names if each not in before]:
                await servers.delete(name, gone=True)
                self.lab.rules.clear(name.name)
                self.lab.answers.set(name.name, {})  # some of them have ten megabytes
            self.lab.record.forget(Match())

    async def target(self, fault: Fault) -> tuple[Endpoint, Ground]:
        """A target that listens, and what checks of it stand on."""
        lab = self.lab
        endpoint = Endpoint(
            Path("conformance-target"),
            _config(lab),
            {},
            steady(reactor),
            Random(1),
            Outside(lambda _: passing_store(reactor), wrap=fault.wrap),
        )
        await endpoint.start()
        name = f"localhost:{endpoint.parts.listeners.keep(_ANY_PORT).port}"
        server = ServerName.parse(name)
        port = server.port or 0
        key = Seed.random().signing_key(KeyId("ed25519:target"), name)
        identity = Identity(server, [key], [], lab.authority.issue("localhost"))
        await endpoint.add(
            ServerConfig(
                server_name=server,
                listen=SocketAddress("127.0.0.1", port),
                profiles={f"@alice:{name}": Profile(displayname="Alice")},
            ),
            Credentials(lambda: identity),
        )
        _define_user(endpoint.parts.servers[server])
        return endpoint, ground_of(lab, _options(server, _local(server)))


def _define_user(server: Server) -> None:
    """Let the target have a user with a device, and media."""
    keys, _ = KeyMaker(f"@alice:{server.name}", Random(1)).device("A")
    device = Device(device_id="A", keys=keys)
    server.users.put(
        User(user_id=f"@alice:{server.name}", stream_id=1, devices={"A": device})
    )
    server.media.put(Media(media_id=_MEDIA, file=File("image/png", b"pixels")))


@contextmanager
def stage(*, is_whole: bool = True) -> Iterator[Stage]:
    """A lab that runs for as long as the context."""
    # Other tests of this process have a reactor with one clock.
    clocks = {name: vars(reactor).get(name) for name in ("seconds", "wall_seconds")}
    folder = Folder(None)
    options = LabOptions(
        listen=_standard_ports(), control=_ANY_PORT, dns=_ANY_PORT, allow=_ALLOW
    )
    lab = Lab(options, folder, steady(reactor))
    wait(lab.start())
    try:
        yield Stage(lab, is_whole)
    finally:
        wait(lab.stop())
        for name, clock in clocks.items():
            if clock is None:
                vars(reactor).pop(name, None)
            else:
                setattr(reactor, name, clock)


def _standard_ports() -> SocketAddress:
    """Port 8448 of an address that no other run has; any port without privileges.

    Only Linux has all of 127.0.0.0/8 without being told.
    """
    numbers = [secrets.randbelow(253) + 2 for _ in range(3)]
    host = ".".join(map(str, (127, *numbers)))
    try:
        with socket.create_server((host, 443)):
            return SocketAddress(host, 8448)
    except OSError:
        return _ANY_PORT


async def _results(
    ground: Ground,
    given: Given,
    only: Sequence[str],
    skip: Sequence[str],
    maker: Maker | None = None,
) -> Mapping[str, Result]:
    known = all_checks()
    checks = with_prerequisites(known, select(known, only, skip))
    needs = {need.code for check in checks for need in check.needs}
    await ground.find()
    facts = await preflight.look(ground, given, needs, maker)
    plan = Plan(checks, jobs=8)
    runner = Runner(plan, ground, facts)
    await runner.run()
    return runner.results


def _local(server: ServerName) -> SocketAddress:
    return SocketAddress("127.0.0.1", server.port or 0)


def _options(server: ServerName, where: SocketAddress) -> ConformOptions:
    return ConformOptions(
        target=server,
        # The system's look-ups need threads, which this reactor has not started.
        target_address=where,
        listen=_ANY_PORT,
        dns=_ANY_PORT,
        zone="lab.test",
    )


def _config(lab: Lab) -> Config:
    return Config(
        servers=(),
        shutdown_seconds=1.0,
        sending=Sending(first_retry_seconds=0.2, max_retry_seconds=0.5),
        # Without the method of 2014, which accepts any certificate that a document of
        # version 1 names: today's text accepts no such certificate.
        verification=Verification(
            methods=("certificate",),
            ca_file=Path(lab.where.ca_file),
            system_roots=False,
        ),
        dns=Dns(servers=(SocketAddress.parse(lab.where.dns),)),
        network=Network(allow=_ALLOW),
        limits=Limits(trusted_clients=LOOPBACK),
        control=Control(listen=None),
        log=Log(level="error"),
    )

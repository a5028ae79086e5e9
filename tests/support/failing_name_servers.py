"""Several name servers, asked one after the other for the services of `a.test`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from twisted.internet.posixbase import PosixReactorBase

from homeserver.net.addresses import SocketAddress
from tests.support.discovery_cases import OLD_A
from tests.support.dns_answers import Answer, records
from tests.support.name_servers import NameServer, serving
from tests.support.real_discovery import SERVICES_2014, discovering
from tests.support.waiting import reactor

SERVICE = "_matrix._tcp.a.test"
ASKED, BY_TCP = f"SRV {SERVICE}", f"SRV {SERVICE} by TCP"
GOOD = records(f"{SERVICE} SRV 1 2 3 s.test")


def answering(answer: Answer, *, ends_tcp: bool = False) -> NameServer:
    """A name server with one answer to the SRV question."""
    server = NameServer()
    server.special[SERVICE] = answer
    server.ends_tcp = ends_tcp
    return server


@contextmanager
def serving_all(*servers: NameServer) -> Iterator[None]:
    """Let all of them listen."""
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(serving(server))
        yield


def outcome(
    server: NameServer, *before: SocketAddress, clock: PosixReactorBase = reactor
) -> tuple[list[str], list[str]]:
    """The steps and the routes of `a.test`, by a server and those before it."""
    with discovering(
        server, well_known=False, services=SERVICES_2014, clock=clock, before=before
    ) as reach:
        return reach.outcome("a.test")


FOUND = ([OLD_A + "1 2 3 s.test"], ["s.test:3"])


NOWHERE = {
    # The system refuses to send there, as to any address that no route leads to.
    "no route": SocketAddress("255.255.255.255", 53),
    # Documentation: no route, or a silent one.
    "IPv6 without a network": SocketAddress("2001:db8::53", 53),
}

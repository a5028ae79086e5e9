"""The websites that hosts are asked for their well-known document, in memory.

Rules: nothing moves until the test says so.
"""

from collections.abc import Callable
from typing import cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.addresses import AddressPolicy, AddressRange
from homeserver.net.cause import OURSELVES
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.outbound.discovery.well_known import WellKnown
from homeserver.outbound.transport.budget import Budgets
from homeserver.outbound.transport.dialer import Dialer, Target
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import issue_for
from tests.support.memory_tls_servers import Net, Wire, ok, start
from tests.support.outbound_stack import CA, GOOD, Names, trusting

WWW = issue_for("www.test", CA)
"""The certificate of a host that is redirected to."""

DOCUMENT = ok(b'{"m.server":"b.test:7"}')

NOT_IN_TIME = "no complete answer within 10 seconds"


def redirect(location: str | bytes, status: str = "302 Found") -> bytes:
    """A response that sends to another place."""
    if isinstance(location, str):
        location = location.encode()
    return ok(b"", status=status)[:-2] + b"Location: " + location + b"\r\n\r\n"


class WellKnownTestCase(SynchronousTestCase):
    """What asks for delegations, over a memory reactor."""

    def setUp(self) -> None:
        """Make it."""
        self.make_well_known(Names())
        self.hosts.update(
            {
                "peer.test": ["192.0.2.1"],
                "www.test": ["192.0.2.2"],
                "inside.test": ["10.0.0.1"],
                "lost.test": LookupFailed("lost.test has no address"),
            }
        )

    def make_well_known(
        self, names: Names, aim: Callable[[Target], Target] = lambda target: target
    ) -> None:
        """Make it over other names, with a dialer that aims elsewhere."""
        self.net = Net()
        self.hosts = names.hosts
        refused = ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::1/128"]
        context = trusting(CA)
        self.recorded: list[Exchange] = []
        exchanges = Exchanges(self.net.clock)
        exchanges.record = self.recorded.append
        dialer = Dialer(
            self.net.reactor,
            names.addresses,
            AddressPolicy([AddressRange.parse(each) for each in refused], []),
            lambda _: context,
            exchanges,
            aim,
        )
        self.budgets = Budgets(self.net.clock, lambda _: False)
        self.well_known = WellKnown(dialer, self.budgets, self.net.clock)

    def ask(self, host: str = "peer.test") -> Deferred[ServerName]:
        """Ask for the name that a host delegates to."""
        return start(self.well_known.delegation(host, OURSELVES))

    def answer(self, *answers: bytes) -> Deferred[ServerName]:
        """Ask `peer.test`, and let each connection to it get one of the answers."""
        asked = self.ask()
        for each in answers:
            self.net.accept(GOOD).say(each)
        return asked

    def found(self, asked: Deferred[ServerName]) -> str:
        """The name that was delegated to."""
        name: ServerName = self.successResultOf(asked)
        assert self.net.dialled == []
        return str(name)

    def reason(self, asked: Deferred[ServerName]) -> str:
        """Why there is no delegation; nothing is tried any more."""
        reason = str(self.failureResultOf(asked, LookupFailed).value)
        assert self.net.dialled == []
        assert reason.isprintable()
        assert len(reason) < 2000
        return reason

    def assert_ended(self, wire: Wire) -> None:
        """See that a connection is over, without waiting for the peer."""
        assert wire.tcp.is_aborted
        wire.flush()
        assert wire.peer.is_gone


def indicated_name(wire: Wire) -> bytes | None:
    """What a website was told in the handshake: which name it is asked by."""
    tls = cast("SSL.Connection", wire.peer.transport.getHandle())  # type: ignore[union-attr]
    return tls.get_servername()

"""Look-ups over a DNS client whose answers are the test's."""

from itertools import pairwise
from typing import Any, cast

from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.names.error import DNSNameError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.protocol.discovery import LookupFailed
from tests.support.dns_records import ScriptedClient, cname

SERVICE = "_matrix._tcp.peer.test"


def chain(length: int) -> list[dns.RRHeader]:
    """So many aliases, from `peer.test` to `end.test`."""
    names = ["peer.test", *(f"a{n}.test" for n in range(1, length)), "end.test"]
    return [cname(owner, to) for owner, to in pairwise(names)]


def no_such_name(*authority: dns.RRHeader) -> DNSNameError:
    """NXDOMAIN, as `twisted.names` tells it: with the message."""
    message = dns.Message(rCode=dns.ENAME)
    message.authority = list(authority)
    return DNSNameError(message)


@implementer(IHostnameResolver)
class System:
    """The system's resolver: it finds addresses when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, IResolutionReceiver]] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """As `IHostnameResolver`."""
        resolution = cast("IHostResolution", None)
        resolutionReceiver.resolutionBegan(resolution)
        self.asked.append((hostName, resolutionReceiver))
        return resolution

    def find(self, *found: IPv4Address | IPv6Address | HostnameAddress) -> None:
        """Answer the first question."""
        _, receiver = self.asked.pop(0)
        for each in found:
            receiver.addressResolved(each)
        receiver.resolutionComplete()


class DnsTestCase(SynchronousTestCase):
    """Look-ups that ask a DNS client for everything."""

    def setUp(self) -> None:
        """Make the look-ups."""
        self.make_lookups(None)

    def make_lookups(self, hosts: IHostnameResolver | None) -> None:
        """Make look-ups over a DNS client, and maybe the system."""
        self.clock = Clock()
        self.dns = ScriptedClient()
        self.recorded: list[Exchange] = []
        exchanges = Exchanges(self.clock)
        exchanges.record = self.recorded.append
        self.lookups = DnsLookups(
            self.dns.resolver, hosts, self.clock, exchanges=exchanges
        )

    def assert_failed(
        self, asked: Deferred[Any], said: str, reason: str = "no_answer"
    ) -> None:
        """See that a look-up failed, and what is said of it."""
        problem = self.failureResultOf(asked, LookupFailed).value
        assert isinstance(problem, LookupFailed)
        assert (str(problem), problem.reason) == (said, reason)

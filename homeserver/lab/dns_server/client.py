"""The lab's own look-ups: its zone first, and the system for hosts that are not in it.

Rules: questions go to the responder of the name server, without a socket, so a fault of
a name is seen by our servers as by others. A host that neither is in the zone nor has a
name below it is looked up by the system, as in the hosts file: a server under test can
be called `localhost`, or have the name of a container.
"""

from collections.abc import Callable, Sequence
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
    IResolver,
)
from twisted.names import dns
from twisted.names.error import (
    DNSFormatError,
    DNSNameError,
    DNSNotImplementedError,
    DNSQueryRefusedError,
    DNSServerError,
    DNSUnknownError,
)
from zope.interface import implementer

from homeserver.lab.dns_server.server import Responder
from homeserver.lab.dns_server.zone import Question, Reply

_ERRORS = {
    dns.EFORMAT: DNSFormatError,
    dns.ESERVER: DNSServerError,
    dns.ENAME: DNSNameError,
    dns.ENOTIMP: DNSNotImplementedError,
    dns.EREFUSED: DNSQueryRefusedError,
}

_FAMILIES = {dns.A: IPv4Address, dns.AAAA: IPv6Address}

_Answer = tuple[Sequence[dns.RRHeader], Sequence[dns.RRHeader], Sequence[dns.RRHeader]]


class LabResolver:
    """The part of `IResolver` that discovery uses, answered in the process."""

    def __init__(
        self,
        responder: Responder,
        hosts: IHostnameResolver,
        is_ours: Callable[[str], bool],
    ) -> None:
        """`hosts` is the system's; it is not asked for what `is_ours`."""
        self._responder = responder
        self._hosts = hosts
        self._is_ours = is_ours

    def lookupService(self, name: str, timeout: object = None) -> Deferred[_Answer]:
        """As `IResolver`: SRV records."""
        return Deferred.fromCoroutine(self._ask(name, dns.SRV))

    def lookupCanonicalName(
        self, name: str, timeout: object = None
    ) -> Deferred[_Answer]:
        """As `IResolver`: a CNAME record."""
        return Deferred.fromCoroutine(self._ask(name, dns.CNAME))

    def lookupAddress(self, name: str, timeout: object = None) -> Deferred[_Answer]:
        """As `IResolver`: A records."""
        return Deferred.fromCoroutine(self._find_host(name, dns.A))

    def lookupIPV6Address(self, name: str, timeout: object = None) -> Deferred[_Answer]:
        """As `IResolver`: AAAA records."""
        return Deferred.fromCoroutine(self._find_host(name, dns.AAAA))

    async def _find_host(self, name: str, code: int) -> _Answer:
        if self._is_ours(name.lower().removesuffix(".")):
            return await self._ask(name, code)
        receiver = _Addresses(name, code)
        self._hosts.resolveHostName(receiver, name, addressTypes=[_FAMILIES[code]])
        return await receiver.complete, (), ()

    async def _ask(self, name: str, code: int) -> _Answer:
        dns.domainString(name)  # raises for a name that has no form on the wire
        reply = await self._reply(name, code, by_tcp=False)
        if reply.is_truncated:
            reply = await self._reply(name, code, by_tcp=True)
        if reply.code != dns.OK:
            message = dns.Message(rCode=reply.code)
            message.authority = list(reply.authority)
            raise _ERRORS.get(reply.code, DNSUnknownError)(message)
        return reply.records, reply.authority, ()

    async def _reply(self, name: str, code: int, *, by_tcp: bool) -> Reply:
        bare = name.removesuffix(".")
        written = bare.encode("idna" if not bare.isascii() else "ascii")
        question = Question(bare.lower(), written, code, "", by_tcp)
        reply = self._responder(question)
        if reply is not None and not isinstance(reply, Reply):
            reply = await reply
        if reply is None:
            # Silence, until whoever asks has waited long enough and cancels this.
            await Deferred[None]()
            return Reply(code=dns.ESERVER)
        return reply


@implementer(IResolutionReceiver)
class _Addresses:
    """Takes what the system finds, as records."""

    def __init__(self, name: str, code: int) -> None:
        self._name = name
        self._code = code
        self._found: list[dns.RRHeader] = []
        self.complete: Deferred[list[dns.RRHeader]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """As `IResolutionReceiver`."""

    def addressResolved(self, address: object) -> None:
        """As `IResolutionReceiver`."""
        if isinstance(address, IPv4Address | IPv6Address):
            host = str(ip_address(address.host))
            build = dns.Record_A if self._code == dns.A else dns.Record_AAAA
            self._found.append(
                dns.RRHeader(self._name, self._code, ttl=0, payload=build(host))
            )

    def resolutionComplete(self) -> None:
        """As `IResolutionReceiver`."""
        if not self.complete.called:
            self.complete.callback(self._found)


def as_resolver(resolver: LabResolver) -> IResolver:
    """The look-ups as discovery knows them."""
    found: IResolver = resolver  # type: ignore[assignment]
    return found

"""Server discovery: the steps of `protocol.discovery` over the network.

Rules: `protocol.discovery` decides on the steps; `dns` and `well_known` look up what
they need. The random order of SRV targets is drawn for each resolution, also when the
records come from the cache.
"""

from collections.abc import Sequence
from random import Random

from msgspec import Struct
from twisted.internet.defer import Deferred

from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.discovery.kept_answers import KeptAnswers
from homeserver.outbound.discovery.well_known import WellKnown
from homeserver.outbound.transport.budget import OverBudget
from homeserver.protocol import discovery
from homeserver.protocol.discovery import (
    Algorithm,
    LookupFailed,
    Resolution,
    SrvRecord,
    Step,
)
from homeserver.protocol.errors import printable
from homeserver.protocol.identifiers import ServerName


class Resolver:
    """Finds the routes to servers."""

    def __init__(
        self,
        dns: DnsLookups,
        well_known: WellKnown | None,
        services: Sequence[str],
        random: Random,
    ) -> None:
        """Without `well_known`, its step is skipped, as in 2014."""
        self._dns = dns
        self._well_known = well_known
        self._algorithm = Algorithm(well_known is not None, services)
        self._random = random
        self.kept = KeptAnswers(dns, well_known, services)

    async def resolve(self, name: ServerName, cause: Cause) -> Resolution:
        """The routes to `name`; raises `discovery.NotResolvable`, and `OverBudget`."""
        return await discovery.resolve(
            name,
            _Lookups(self._dns, self._well_known, cause),
            self._algorithm,
            lambda most: self._random.randint(0, most),
        )

    async def aliases(self, resolution: Resolution) -> list[Step]:
        """The SRV targets that are aliases, which RFC 2782 forbids.

        "The domain name of the target host [...] MUST NOT be an alias". Connecting
        follows them all the same; this tells the operator of the server.
        """

        async def look(host: str) -> Step | None:
            try:
                alias = await self._dns.alias(host, OURSELVES)
            except (LookupFailed, OverBudget):
                return None  # connecting reports it
            if alias is None:
                return None
            found = f"is an alias of {printable(alias)}, which RFC 2782 forbids"
            return Step("srv", host, found)

        by_srv = [r.host for r in resolution.routes if r.srv_priority is not None]
        looks = [Deferred.fromCoroutine(look(host)) for host in by_srv]
        steps = [await each for each in looks]  # all run already
        return [step for step in steps if step is not None]


class _Lookups(Struct, frozen=True):
    """`discovery.Lookups` for one resolution."""

    dns: DnsLookups
    documents: WellKnown | None
    cause: Cause

    async def well_known(self, host: str) -> ServerName:
        """As `discovery.Lookups`."""
        if self.documents is None:
            raise LookupFailed("well-known documents are not asked for", "not_asked")
        return await self.documents.delegation(host, self.cause)

    async def srv(self, name: str) -> Sequence[SrvRecord]:
        """As `discovery.Lookups`."""
        return await self.dns.srv(name, self.cause)

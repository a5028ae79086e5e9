"""The network side of discovery: its steps, over the DNS and well-known documents.

Rules of the room: which step follows which is the core's; what is looked up for it is
of the rooms beside this one. Chance is drawn anew for each resolution, whatever of it
was known already.
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
        """Without `well_known`, that step is left out, as in 2014."""
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
        """The SRV targets among the routes that are aliases, which none may be.

        "The domain name of the target host [...] MUST NOT be an alias" (RFC 2782). It
        is followed all the same: this is for whoever has to mend it.
        """

        async def look(host: str) -> Step | None:
            try:
                alias = await self._dns.alias(host, OURSELVES)
            except (LookupFailed, OverBudget):
                return None  # who connects will be told
            if alias is None:
                return None
            found = f"is an alias of {printable(alias)}, which RFC 2782 forbids"
            return Step("srv", host, found)

        by_srv = [r.host for r in resolution.routes if r.srv_priority is not None]
        looks = [Deferred.fromCoroutine(look(host)) for host in by_srv]
        steps = [await each for each in looks]  # all are under way
        return [step for step in steps if step is not None]


class _Lookups(Struct, frozen=True):
    """The look-ups of one resolution; as `discovery.Lookups`."""

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

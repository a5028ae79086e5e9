"""What a name resolves to over a DNS zone and well-known documents in memory."""

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.protocol.discovery import (
    Algorithm,
    LookupFailed,
    Resolution,
    SrvRecord,
    resolve,
)
from homeserver.protocol.identifiers import ServerName

TODAY = Algorithm(well_known=True, services=["_matrix-fed._tcp", "_matrix._tcp"])
BY_SRV = Algorithm(well_known=False, services=TODAY.services)
OF_2014 = Algorithm(well_known=False, services=["_matrix._tcp"])

FED = "_matrix-fed._tcp.a.org"
OLD = "_matrix._tcp.a.org"

S_NET = SrvRecord(10, 5, 9, "s.net")
T_NET = SrvRecord(20, 5, 7, "t.net")
NOT_HERE = SrvRecord(0, 0, 0, ".")

NO_HOST = "unusable: the target is not a host name"


class Zone:
    """SRV records by name, names whose look-up fails, and hosts that delegate."""

    def __init__(
        self,
        records: Mapping[str, Sequence[SrvRecord]],
        failing: Sequence[str] = (),
        delegating: Mapping[str, str] | None = None,
    ) -> None:
        self.records = records
        self.failing = failing
        self.delegating = delegating or {}
        self.asked: list[str] = []
        self.well_knowns: list[str] = []

    async def well_known(self, host: str) -> ServerName:
        """The name that `host`, which is noted in `well_knowns`, delegates to."""
        self.well_knowns.append(host)
        if host not in self.delegating:
            raise LookupFailed("status 404")
        return ServerName.parse(self.delegating[host])

    async def srv(self, name: str) -> Sequence[SrvRecord]:
        """The records at `name`, which is noted in `asked`."""
        self.asked.append(name)
        if name in self.failing:
            raise LookupFailed("SERVFAIL", "too_many_aliases")
        return self.records.get(name, [])


def least(total: int) -> int:
    """Draw 0, whatever else could be drawn."""
    return 0


def resolved(
    name: str,
    zone: Zone,
    algorithm: Algorithm = BY_SRV,
    draw: Callable[[int], int] = least,
) -> Resolution:
    """What `resolve` comes to over look-ups that answer at once."""
    results: list[Resolution] = []
    failures: list[Failure] = []
    coroutine = resolve(ServerName.parse(name), zone, algorithm, draw)
    Deferred.fromCoroutine(coroutine).addCallbacks(results.append, failures.append)
    for failure in failures:
        failure.raiseException()
    (result,) = results
    return result


Records = dict[str, list[SrvRecord]]

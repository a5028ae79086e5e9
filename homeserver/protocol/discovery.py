"""From a server name to its routes: the discovery steps of the specification.

Rules: the steps are one coroutine; look-ups and random numbers are passed in. A failed
look-up ends discovery: only a definite "no such record" leads to the next step, as an
attacker who breaks DNS answers could choose the step otherwise. The certificate must be
valid for the server's name, never for an SRV target.

Specification: Server-server API, "Resolving server names"; RFC 2782. The algorithm
of November 2014 is this one without well-known and with the one service `_matrix._tcp`.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Literal, Protocol

from msgspec import Struct

from homeserver.protocol.errors import quote
from homeserver.protocol.identifiers import DEFAULT_PORT, ServerName

MAX_TARGETS = 20  # of one name; if twenty are unreachable, the rest likely is

# RFC 1035, and underscores, which many host names contain all the same.
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*")


class SrvRecord(Struct, frozen=True):
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str
    """A host name, or `.`: the service is not available at this domain."""

    @property
    def problem(self) -> str | None:
        """Why the record is unusable; None if it is usable."""
        if not _HOST_NAME.fullmatch(self.target):
            return "the target is not a host name"
        return None if self.port else "port 0 is not a port"

    def __str__(self) -> str:
        target = self.target
        # A DNS label may contain any byte.
        shown = (
            target if _HOST_NAME.fullmatch(target) or target == "." else quote(target)
        )
        return f"{self.priority} {self.weight} {self.port} {shown}"


class Route(Struct, frozen=True):
    """One way to a server."""

    host: str
    """The host name or IP address to connect to."""

    port: int
    host_header: str
    """The `Host` header of requests."""

    certificate_name: str
    """The DNS name or IP address for which the certificate must be valid."""

    srv_priority: int | None = None
    srv_weight: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


LookupReason = Literal[
    "no_answer", "no_address", "too_many_aliases", "no_delegation", "not_asked"
]
"""Why a look-up failed, as a stable code for programs."""


class Step(Struct, frozen=True):
    """One discovery step and its result."""

    step: str
    """`literal`, `port`, `well-known`, `srv` or `fallback`."""

    asked: str
    found: str
    reason: LookupReason | None = None
    """Why there is no well-known document, of that step."""


class Resolution(Struct, frozen=True):
    """All routes to a server, in the order in which to try them."""

    server_name: ServerName
    steps: Sequence[Step]
    routes: Sequence[Route]


class LookupFailed(Exception):
    """A look-up got no definite answer; `str()` says why."""

    def __init__(self, why: str, reason: LookupReason = "no_answer") -> None:
        super().__init__(why)
        self.reason = reason


NotResolvableReason = LookupReason | Literal["no_service", "no_usable_record"]
"""Why there is no route to a server, as a stable code for programs."""


class NotResolvable(Exception):
    """No route to a server could be determined; `str()` says why."""

    def __init__(
        self, why: str, steps: Sequence[Step], reason: NotResolvableReason = "no_answer"
    ) -> None:
        super().__init__(why)
        self.steps = steps
        self.reason = reason


class Algorithm(Struct, frozen=True):
    """Which steps discovery takes."""

    well_known: bool
    services: Sequence[str]
    """The SRV services to look up, in this order, for example `_matrix._tcp`."""


class Lookups(Protocol):
    """The network look-ups that the steps need."""

    async def well_known(self, host: str) -> ServerName:
        """The server that `host` delegates to by `/.well-known/matrix/server`.

        Raises `LookupFailed` for any other answer, and for none.
        """
        ...

    async def srv(self, name: str) -> Sequence[SrvRecord]:
        """The SRV records at `name`; empty if the DNS says that there are none.

        Raises `LookupFailed` without a definite answer.
        """
        ...


async def resolve(
    name: ServerName,
    lookups: Lookups,
    algorithm: Algorithm,
    draw: Callable[[int], int],
) -> Resolution:
    """Find the routes to the server called `name`.

    `draw(n)` returns a random integer of 0 to n, both included. Raises
    `NotResolvable`.
    """
    steps: list[Step] = []
    target = name

    # 3. Without a port, the well-known of a host name may delegate to another name. The
    # well-known of that name is never looked up.
    if algorithm.well_known and not name.is_ip and name.port is None:
        url = f"https://{name.host}/.well-known/matrix/server"
        try:
            target = await lookups.well_known(name.host)
            steps.append(Step("well-known", url, f"delegates to {target}"))
        except LookupFailed as error:
            # After any failure: "continue to the next step".
            found = f"no delegation: {error}"
            steps.append(Step("well-known", url, found, error.reason))

    # 1 and 3.1. An IP literal is connected to directly.
    if target.is_ip:
        route = _direct(target, target.port or DEFAULT_PORT)
        steps.append(Step("literal", target.name, f"connect to {route}"))
        return Resolution(name, steps, [route])

    # 2 and 3.2. A port in the name: no SRV record is looked up.
    if target.port is not None:
        route = _direct(target, target.port)
        steps.append(Step("port", target.name, f"connect to {route}"))
        return Resolution(name, steps, [route])

    # 3.3, 3.4, 4 and 5. The SRV records of the first service that has any.
    for service in algorithm.services:
        records = await _look_up(f"{service}.{target.host}", lookups, steps)
        if records:
            routes = [_by_srv(target, record) for record in order(records, draw)]
            return Resolution(name, steps, routes[:MAX_TARGETS])

    # 3.5 and 6. The name itself, on the default port.
    route = _direct(target, DEFAULT_PORT)
    steps.append(Step("fallback", target.name, f"connect to {route}"))
    return Resolution(name, steps, [route])


async def _look_up(
    asked: str, lookups: Lookups, steps: list[Step]
) -> Sequence[SrvRecord]:
    """The usable SRV records at `asked`, added to `steps`; empty if there are none.

    Raises `NotResolvable` without a definite answer, if the one record says that the
    service is not available, and if there are records but none is usable.
    """
    try:
        records = await lookups.srv(asked)
    except LookupFailed as error:
        steps.append(Step("srv", asked, f"no answer: {error}"))
        raise NotResolvable(f"SRV {asked}: {error}", steps, error.reason) from None
    steps.append(Step("srv", asked, _describe(records)))
    if [record.target for record in records] == ["."]:
        raise NotResolvable(
            f"SRV {asked} has the target `.`: the service is not available",
            steps,
            "no_service",
        )
    usable = [record for record in records if record.problem is None]
    if records and not usable:
        why = f"SRV {asked}: {_describe(records)}"
        raise NotResolvable(why, steps, "no_usable_record")
    return usable


def _describe(records: Sequence[SrvRecord]) -> str:
    """SRV records in words, at most as many as are tried, with their problems."""
    shown = [
        f"{record} (unusable: {record.problem})" if record.problem else f"{record}"
        for record in records[:MAX_TARGETS]
    ]
    if len(records) > MAX_TARGETS:
        shown.append(f"{len(records) - MAX_TARGETS} more")
    return ", ".join(shown) or "no such record"


def order(
    records: Sequence[SrvRecord], draw: Callable[[int], int]
) -> Sequence[SrvRecord]:
    """The order in which to try SRV targets (RFC 2782).

    The lowest priority number goes first; records of equal priority are drawn at random
    by weight. `draw` is as in `resolve`.
    """
    ordered: list[SrvRecord] = []
    for priority in sorted({record.priority for record in records}):
        equals = [r for r in records if r.priority == priority]
        # "place all those with weight 0 at the beginning of the list": in random order,
        # as a draw by weight always takes the first of them.
        left = _shuffle([r for r in equals if r.weight == 0], draw)
        left += [r for r in equals if r.weight > 0]
        while left:
            sums = list(accumulate(record.weight for record in left))
            # The first record whose running sum reaches the number drawn.
            ordered.append(left.pop(bisect_left(sums, draw(sums[-1]))))
    return ordered


def _shuffle(records: list[SrvRecord], draw: Callable[[int], int]) -> list[SrvRecord]:
    """The records in random order, each order being equally likely."""
    shuffled: list[SrvRecord] = []
    while len(records) > 1:
        shuffled.append(records.pop(draw(len(records) - 1)))
    return shuffled + records


def _direct(name: ServerName, port: int) -> Route:
    return Route(name.host, port, host_header=name.name, certificate_name=name.host)


def _by_srv(name: ServerName, record: SrvRecord) -> Route:
    return Route(
        record.target,
        record.port,
        host_header=name.name,
        certificate_name=name.host,
        srv_priority=record.priority,
        srv_weight=record.weight,
    )

"""From a server name to the routes that lead to it: the steps of the specification.

Rules of the room: the steps are one coroutine over look-ups that it is given, and so
is chance. A look-up that *failed* stops it: only a certain "there is no such record"
leads to the next step, otherwise whoever breaks the DNS chooses the way. The name to
put in a certificate is the server's, never an SRV target's.

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

MAX_TARGETS = 20  # of one name; whoever cannot reach twenty does not reach more

# RFC 1035's, and the underscores that many hosts have all the same.
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*")


class SrvRecord(Struct, frozen=True):
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str
    """A host name, or `.` for "this service is decidedly not here"."""

    @property
    def problem(self) -> str | None:
        """Why nothing can be connected to by this record; None if something can."""
        if not _HOST_NAME.fullmatch(self.target):
            return "its target is not a host name"
        return None if self.port else "there is no port 0"

    def __str__(self) -> str:
        target = self.target
        # A DNS label may hold any byte.
        shown = (
            target if _HOST_NAME.fullmatch(target) or target == "." else quote(target)
        )
        return f"{self.priority} {self.weight} {self.port} {shown}"


class Route(Struct, frozen=True):
    """One way to a server."""

    host: str
    """The name or the address to connect to."""

    port: int
    host_header: str
    """What the requests say in `Host`."""

    certificate_name: str
    """The DNS name or IP address that the certificate must be valid for."""

    srv_priority: int | None = None
    srv_weight: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Step(Struct, frozen=True):
    """One thing that was looked up on the way, and what was found."""

    step: str
    """`literal`, `port`, `well-known`, `srv` or `fallback`."""

    asked: str
    found: str


class Resolution(Struct, frozen=True):
    """All routes to a server, in the order in which to try them."""

    server_name: ServerName
    steps: Sequence[Step]
    routes: Sequence[Route]


LookupReason = Literal[
    "no_answer", "no_address", "too_many_aliases", "no_delegation", "not_asked"
]
"""Why a look-up failed, for programs: these words stay as they are."""


class LookupFailed(Exception):
    """A look-up got no certain answer; `str()` says what happened."""

    def __init__(self, why: str, reason: LookupReason = "no_answer") -> None:
        super().__init__(why)
        self.reason = reason


NotResolvableReason = LookupReason | Literal["no_service", "no_usable_record"]
"""Why there is no route to a server, for programs: these words stay as they are."""


class NotResolvable(Exception):
    """There is no route to a server, or none that is certain; `str()` says why."""

    def __init__(
        self, why: str, steps: Sequence[Step], reason: NotResolvableReason = "no_answer"
    ) -> None:
        super().__init__(why)
        self.steps = steps
        self.reason = reason


class Algorithm(Struct, frozen=True):
    """Which of the steps are taken."""

    well_known: bool
    services: Sequence[str]
    """The SRV services to ask for, in this order, for example `_matrix._tcp`."""


class Lookups(Protocol):
    """What the steps ask of the network."""

    async def well_known(self, host: str) -> ServerName:
        """The server that `host` delegates to by `/.well-known/matrix/server`.

        Raises `LookupFailed` for whatever else it says, or does not say.
        """
        ...

    async def srv(self, name: str) -> Sequence[SrvRecord]:
        """The SRV records at `name`; empty if it is certain that there are none.

        Raises `LookupFailed` if it is not.
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

    # 3. Unless the name says all itself, its well-known may delegate to another name.
    # That one's own well-known is never asked.
    if algorithm.well_known and not name.is_ip and name.port is None:
        url = f"https://{name.host}/.well-known/matrix/server"
        try:
            target = await lookups.well_known(name.host)
            steps.append(Step("well-known", url, f"delegates to {target}"))
        except LookupFailed as error:
            # Whatever is wrong with it: "continue to the next step".
            steps.append(Step("well-known", url, f"no delegation: {error}"))

    # 1 and 3.1. An IP literal is connected to as it is.
    if target.is_ip:
        route = _direct(target, target.port or DEFAULT_PORT)
        steps.append(Step("literal", target.name, f"connect to {route}"))
        return Resolution(name, steps, [route])

    # 2 and 3.2. A port that the name gives settles it: no SRV record is looked at.
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

    # 3.5 and 6. Nobody says otherwise: the name itself, on the default port.
    route = _direct(target, DEFAULT_PORT)
    steps.append(Step("fallback", target.name, f"connect to {route}"))
    return Resolution(name, steps, [route])


async def _look_up(
    asked: str, lookups: Lookups, steps: list[Step]
) -> Sequence[SrvRecord]:
    """The SRV records at `asked` that can be used, told in `steps`; maybe none.

    Raises `NotResolvable` where that is not certain, where the one record says that
    the service is not to be had, and where there are records but none can be used.
    """
    try:
        records = await lookups.srv(asked)
    except LookupFailed as error:
        steps.append(Step("srv", asked, f"no answer: {error}"))
        raise NotResolvable(f"SRV {asked}: {error}", steps, error.reason) from None
    steps.append(Step("srv", asked, _tell(records)))
    if [record.target for record in records] == ["."]:
        raise NotResolvable(
            f"SRV {asked} has the target `.`: the server says that it has no such "
            "service",
            steps,
            "no_service",
        )
    usable = [record for record in records if record.problem is None]
    if records and not usable:
        why = f"SRV {asked}: {_tell(records)}"
        raise NotResolvable(why, steps, "no_usable_record")
    return usable


def _tell(records: Sequence[SrvRecord]) -> str:
    """SRV records in words, as many as are tried, and what is wrong with them."""
    told = [
        f"{record} (cannot be used: {record.problem})"
        if record.problem
        else f"{record}"
        for record in records[:MAX_TARGETS]
    ]
    if len(records) > MAX_TARGETS:
        told.append(f"{len(records) - MAX_TARGETS} more")
    return ", ".join(told) or "no such record"


def order(
    records: Sequence[SrvRecord], draw: Callable[[int], int]
) -> Sequence[SrvRecord]:
    """The order in which to try SRV targets (RFC 2782).

    The lowest priority number goes first; among equals, chance by weight. `draw` is
    as in `resolve`.
    """
    ordered: list[SrvRecord] = []
    for priority in sorted({record.priority for record in records}):
        equals = [r for r in records if r.priority == priority]
        # "place all those with weight 0 at the beginning of the list": in an order of
        # chance, as no draw by weight tells them apart.
        left = _shuffle([r for r in equals if r.weight == 0], draw)
        left += [r for r in equals if r.weight > 0]
        while left:
            sums = list(accumulate(record.weight for record in left))
            # The first record whose running sum reaches the number drawn.
            ordered.append(left.pop(bisect_left(sums, draw(sums[-1]))))
    return ordered


def _shuffle(records: list[SrvRecord], draw: Callable[[int], int]) -> list[SrvRecord]:
    """The records, each order of them as likely as any other."""
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

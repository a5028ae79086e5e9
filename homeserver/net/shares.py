"""Fair shares of the slots of a scarce resource.

Rules: while a slot is free, work begins at once; shares only decide who is first when
all slots are taken. Work belongs to groups: the client that causes it, the domain of
the name that it is about, the addresses that it connects to. Its share is the number of
slots of its largest group.

| state | new work |
|---|---|
| a slot is free | begins |
| no slot is free, and another share is larger by two | begins in the place of the |
| | oldest work with the largest share, which is cancelled |
| neither | waits: small shares first, then known servers, then rare clients |
| the queue is full | waits, and the last work of the largest waiting group is refused |

Equal work (with one key) runs once, with the smallest share of its claims.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounds import Bound
from homeserver.net.cause import Cause
from homeserver.net.networks import subscriber_of

_T = TypeVar("_T")

# By how much a share must be larger than another one to lose a slot to it. With less,
# two groups would cancel each other's work for the same slot.
_MARGIN = 2

# After this time, the count of a client's claims is halved.
_HALF_LIFE_SECONDS = 60.0

_MAX_CLIENTS = 10_000  # that are counted; with more, all counts begin at zero


class GaveWay(Exception):
    """Others with smaller shares took the slot; the same work may succeed later."""


@dataclass(frozen=True)
class Claim:
    """The groups that one request for a slot belongs to."""

    groups: frozenset[str]
    """Empty for a client without limits."""

    client: str = ""
    """The client that causes it; empty for this server itself."""

    is_known: bool = True


@dataclass(eq=False)
class _Work:
    """Work that runs, or waits for a slot."""

    key: Hashable
    claim: Claim
    number: int
    more: set[str] = field(default_factory=set)
    """Groups that became known while it ran."""

    begin: Deferred[None] = field(default_factory=Deferred)
    running: Deferred[Any] | None = None
    gave_way: bool = False

    @property
    def groups(self) -> frozenset[str]:
        return self.claim.groups | self.more if self.claim.groups else frozenset()


class Shares:
    """The slots of one resource, and the work that waits for one."""

    def __init__(
        self,
        bound: tuple[str, str],
        slots: int,
        max_waiting: int,
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`bound` is the name of the bound on the slots, and what it counts.

        `trusts(address)` is whether the client at an IP address has no limits.
        """
        self._slots = slots
        self._max_waiting = max_waiting
        self._clock = clock
        self._trusts = trusts
        self._numbers = count()
        self._held: OrderedDict[Hashable, _Work] = OrderedDict()
        self._waiting: OrderedDict[Hashable, _Work] = OrderedDict()
        self._sizes: Counter[str] = Counter()
        self._queued: Counter[str] = Counter()
        self._is_filling = False
        self._asked: Counter[str] = Counter()
        self._halved = clock.seconds()
        self.bound = Bound(*bound, slots, lambda: len(self._held))

    def claim(self, cause: Cause, domain: str, *, is_known: bool = False) -> Claim:
        """The claim of a cause on a slot for a name in `domain`."""
        if cause.client is None:
            return Claim(frozenset({f"name {domain}"}))
        if self._trusts(cause.client):
            return Claim(frozenset())
        client = subscriber_of(cause.client)
        self._count(client)
        groups = frozenset({f"client {client}", f"name {domain}"})
        return Claim(groups, client, is_known)

    def join(self, key: Hashable, claim: Claim) -> None:
        """Give running or waiting work the share of `claim`, if that is smaller."""
        work = self._waiting.get(key)
        if work is not None and self._size(claim.groups) < self._size(work.groups):
            self._queued.subtract(work.groups)
            work.claim = claim
            self._queued.update(work.groups)
            self._displace(work)
        work = self._held.get(key)
        if work is not None and self._size(claim.groups) < self._size(work.groups):
            self._sizes.subtract(work.groups)
            work.claim = claim
            self._sizes.update(work.groups)

    def aim(self, key: Hashable, addresses: Iterable[str]) -> None:
        """Count running work to the addresses that it connects to."""
        work = self._held.get(key)
        if work is not None:
            self._sizes.subtract(work.groups)
            work.more.update(f"target {subscriber_of(each)}" for each in addresses)
            self._sizes.update(work.groups)

    async def run(
        self,
        key: Hashable,
        claim: Claim,
        work: Callable[[], Coroutine[Deferred[Any], Any, _T]],
    ) -> _T:
        """Run `work` in a slot; raises `GaveWay`, and what `work` raises.

        While it runs or waits, `join` and `aim` know it by its `key`.
        """
        if key in self._held or key in self._waiting:
            key = object()  # a cache has forgotten the other one, which still runs
        own = _Work(key, claim, next(self._numbers))
        self._enter(own)
        try:
            await own.begin
            own.running = Deferred.fromCoroutine(work())
            result: _T = await own.running
        except BaseException:
            if own.gave_way:
                raise GaveWay(_WHY) from None
            raise
        finally:
            self._leave(own)
        if own.gave_way:
            raise GaveWay(_WHY)
        return result

    def _enter(self, work: _Work) -> None:
        """Begin work, or let it wait."""
        if len(self._held) < self._slots:
            self._begin(work)
            return
        self._waiting[work.key] = work
        self._queued.update(work.groups)
        self._displace(work)
        if len(self._waiting) > self._max_waiting:
            worst = self._largest_waiting()
            self._stop_waiting(worst)
            self._refuse(worst)
            worst.begin.errback(GaveWay(_WHY))

    def _largest_waiting(self) -> _Work:
        """The last work of the largest waiting group."""
        most = max(self._queued.values(), default=0)
        return next(
            work
            for work in reversed(self._waiting.values())
            if not most or any(self._queued[group] == most for group in work.groups)
        )

    def _stop_waiting(self, work: _Work) -> None:
        del self._waiting[work.key]
        self._queued.subtract(work.groups)
        self._queued += Counter()  # drops zero counts

    def _displace(self, work: _Work) -> None:
        """Let waiting work take the slot of work with a larger share."""
        largest = max(self._held.values(), key=lambda held: self._size(held.groups))
        if self._size(largest.groups) < self._size(work.groups) + _MARGIN:
            return
        self._release(largest)
        self._refuse(largest)
        self._stop_waiting(work)
        self._begin(work)
        if largest.running is not None:
            largest.running.cancel()

    def _begin(self, work: _Work) -> None:
        self._held[work.key] = work
        self._sizes.update(work.groups)
        work.begin.callback(None)

    def _leave(self, work: _Work) -> None:
        """Release the slot of finished work and begin the first that waits."""
        if self._waiting.get(work.key) is work:
            self._stop_waiting(work)  # its caller was cancelled
        if self._held.get(work.key) is not work:
            return  # it lost its slot
        self._release(work)
        if self._is_filling:
            return  # otherwise work that ends at once would recurse
        self._is_filling = True
        while self._waiting and len(self._held) < self._slots:
            first = min(self._waiting.values(), key=self._rank)
            self._stop_waiting(first)
            self._begin(first)
        self._is_filling = False

    def _release(self, work: _Work) -> None:
        del self._held[work.key]
        self._sizes.subtract(work.groups)
        self._sizes += Counter()  # drops zero counts

    def _refuse(self, work: _Work) -> None:
        work.gave_way = True
        self.bound.refuse()

    def _size(self, groups: Iterable[str]) -> int:
        """The number of slots of the largest of some groups."""
        return max((self._sizes[group] for group in groups), default=0)

    def _rank(self, work: _Work) -> tuple[int, bool, int, int]:
        claim = work.claim
        asked = self._asked[claim.client] if claim.client else 0
        return self._size(work.groups), not claim.is_known, asked, work.number

    def _count(self, client: str) -> None:
        """Count a claim of a client."""
        if self._clock.seconds() - self._halved >= _HALF_LIFE_SECONDS:
            self._halved = self._clock.seconds()
            halves = {name: n // 2 for name, n in self._asked.items() if n > 1}
            self._asked = Counter(halves)
        if len(self._asked) >= _MAX_CLIENTS:
            self._asked.clear()
        self._asked[client] += 1


_WHY = "too many others ask at the same time, with smaller shares"

"""Fair shares of the slots of a scarce resource.

Rules: while a slot is free, work begins at once; shares only decide who is first when
all slots are taken. Work belongs to groups: the client that causes it, the domain of
the name that it is about, the addresses that it connects to. Its share is the number of
slots of its largest group. All work also is for one of our servers: between two of
them, the one that has fewer slots goes first, whatever the groups.

Strangers' work may keep its slot for a least time, also when it is over: what fails at
once costs time as well, so the slots bound what a crowd costs. A known server takes
such a slot.

| state | new work |
|---|---|
| a slot is free | begins |
| no slot is free, and another share is larger by two | begins in the place of the |
| | oldest work with the largest share, which is cancelled |
| neither | waits: small shares first, then known servers, then rare clients |
| the queue of clients' | waits, and of the last works of the largest waiting group, |
| work is full | one is refused: that of the client that asks most |

Equal work (with one key) runs once, with the smallest share of its claims.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounds import Bound
from homeserver.net.cause import Cause
from homeserver.net.networks import site_of, subscriber_of
from homeserver.net.tally import Tally
from homeserver.net.waiting_work import Claim, WaitingWork, Work

_T = TypeVar("_T")

# By how much a share must be larger than another one to lose a slot to it. With less,
# two groups would cancel each other's work for the same slot.
_MARGIN = 2

_HALF_LIFE_SECONDS = 60.0  # after it, the count of a site's claims is halved

_MAX_SITES = 10_000  # that are counted; with more, all counts begin at zero

# That wait at a time for this server itself or a trusted client: a join fetches the
# keys of a thousand servers at once.
_MAX_OWN_WAITING = 1000

_WHY = "too many others ask at the same time, with smaller shares"


class GaveWay(Exception):
    """Others with smaller shares took the slot; the same work may succeed later."""


class Shares:
    """The slots of one resource, and the work that waits for one."""

    def __init__(
        self,
        bound: tuple[str, str],
        slots: int,
        max_waiting: int,
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
        least_seconds: float = 0.0,
    ) -> None:
        """`bound` is the name of the bound on the slots, and what it counts.

        `max_waiting` is for the work of clients that have limits. `trusts(address)` is
        whether the client at an IP address has none. A stranger's work keeps its slot
        for `least_seconds`.
        """
        self._least_seconds = least_seconds
        self._slots = slots
        self._max_waiting = max_waiting
        self._clock = clock
        self._trusts = trusts
        self._held: OrderedDict[Hashable, Work] = OrderedDict()
        self._waiting = WaitingWork()
        self._sizes = Tally()
        # The same by the one of our servers that the work is for.
        self._sizes_of_ours = Tally()
        self._is_filling = False
        self._asked: Counter[str] = Counter()
        self._halved = clock.seconds()
        self.bound = Bound(*bound, slots, lambda: len(self._held))

    def claim(
        self, cause: Cause, domain: str, *, is_known: bool = False, ours: str = ""
    ) -> Claim:
        """The claim of a cause on a slot for a name in `domain`.

        `ours` is the one of our servers that the work is for.
        """
        if cause.client is None:
            return Claim(frozenset({f"name {domain}"}), ours=ours)
        if self._trusts(cause.client):
            return Claim(frozenset(), ours=ours)
        site = site_of(cause.client)
        self._count(site)
        groups = {f"client {subscriber_of(cause.client)}", f"name {domain}"}
        return Claim(frozenset(groups), site, is_known, ours)

    def join(self, key: Hashable, claim: Claim) -> None:
        """Give running or waiting work the share of `claim`, if that is smaller."""
        size = self._sizes.size
        work = self._waiting.find(key)
        if work is not None and size(claim.groups) < size(work.groups):
            self._waiting.join(work, claim)
            self._displace(work)
        work = self._held.get(key)
        if work is not None and size(claim.groups) < size(work.groups):
            self._sizes.remove(work.groups)
            work.join(claim)
            self._sizes.add(work.groups)

    def aim(self, key: Hashable, addresses: Iterable[str]) -> None:
        """Count running work to the addresses that it connects to."""
        work = self._held.get(key)
        if work is not None:
            self._sizes.remove(work.groups)
            work.aim(f"target {subscriber_of(each)}" for each in addresses)
            self._sizes.add(work.groups)

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
        own = Work(key, claim)
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

    def _enter(self, work: Work) -> None:
        """Begin work, or let it wait."""
        if len(self._held) < self._slots:
            self._begin(work)
            return
        own = len(self._waiting) - self._waiting.of_clients
        if not work.claim.site and own >= _MAX_OWN_WAITING:
            self._turn_away(work)
            return
        self._waiting.add(work)
        self._displace(work)
        if self._waiting.of_clients > self._max_waiting:
            worst = self._waiting.last(self._asks)
            self._waiting.remove(worst)
            self._turn_away(worst)

    def _turn_away(self, work: Work) -> None:
        """Refuse work that has not begun."""
        self._refuse(work)
        work.begin.errback(GaveWay(_WHY))

    def _rank(self, claim: Claim) -> tuple[int, ...]:
        """Which claim is next: small shares, known servers, rare clients first."""
        share = self._sizes_of_ours.get(claim.ours, 0)
        return share, self._sizes.size(claim.groups), *self._asks(claim)

    def _asks(self, claim: Claim) -> tuple[int, int]:
        """Which of equal shares is next: known servers, rare clients first."""
        return not claim.is_known, self._asked[claim.site] if claim.site else 0

    def _displace(self, work: Work) -> None:
        """Let waiting work take the slot of work with a larger share, or of none."""
        of_ours, crowded = self._sizes_of_ours.largest()
        most, groups = self._sizes.largest()
        over = self._first_over() if work.claim.is_known else None
        if over is not None:
            largest = over
        elif of_ours >= self._sizes_of_ours.get(work.claim.ours, 0) + _MARGIN:
            crowd = (w for w in self._held.values() if w.claim.ours in crowded)
            largest = max(
                crowd, key=lambda held: (self._sizes.size(held.groups), held.is_over)
            )
        elif most >= self._sizes.size(work.groups) + _MARGIN:
            crowd = (w for w in self._held.values() if not groups.isdisjoint(w.groups))
            largest = max(crowd, key=lambda held: held.is_over)
        else:
            return
        self._release(largest)
        if not largest.is_over:
            self._refuse(largest)
        self._waiting.remove(work)
        self._begin(work)
        if largest.running is not None:
            largest.running.cancel()

    def _first_over(self) -> Work | None:
        """The oldest work that is over and keeps its slot."""
        return next((held for held in self._held.values() if held.is_over), None)

    def _begin(self, work: Work) -> None:
        work.began = self._clock.seconds()
        self._held[work.key] = work
        self._sizes.add(work.groups)
        self._sizes_of_ours.add([work.claim.ours])
        work.begin.callback(None)

    def _leave(self, work: Work) -> None:
        """Release the slot of finished work, at its time."""
        if self._waiting.find(work.key) is work:
            self._waiting.remove(work)  # its caller was cancelled
        if self._held.get(work.key) is not work:
            return  # it lost its slot
        least = 0.0 if work.claim.is_known else self._least_seconds
        left = work.began + least - self._clock.seconds()
        if left <= 0 or self._is_known_next():
            self._free(work)
            return
        # Under another key: `join` and `aim` mean the next work that has its key.
        del self._held[work.key]
        work.key = object()
        self._held[work.key] = work
        work.is_over = True
        self._clock.callLater(left, self._free, work)

    def _is_known_next(self) -> bool:
        """Whether the first work that waits is for a known server."""
        return bool(self._waiting) and self._waiting.first(self._rank).claim.is_known

    def _free(self, work: Work) -> None:
        """Release the slot of work that is over, and begin the first that waits."""
        if self._held.get(work.key) is not work:
            return  # another one has it already
        self._release(work)
        if self._is_filling:
            return  # otherwise work that ends at once would recurse
        self._is_filling = True
        while self._waiting and len(self._held) < self._slots:
            first = self._waiting.first(self._rank)
            self._waiting.remove(first)
            self._begin(first)
        self._is_filling = False

    def _release(self, work: Work) -> None:
        del self._held[work.key]
        self._sizes.remove(work.groups)
        self._sizes_of_ours.remove([work.claim.ours])

    def _refuse(self, work: Work) -> None:
        work.gave_way = True
        self.bound.refuse()

    def _count(self, site: str) -> None:
        """Count a claim of a client of a site."""
        if self._clock.seconds() - self._halved >= _HALF_LIFE_SECONDS:
            self._halved = self._clock.seconds()
            halves = {name: n // 2 for name, n in self._asked.items() if n > 1}
            self._asked = Counter(halves)
        if len(self._asked) >= _MAX_SITES:
            self._asked.clear()
        self._asked[site] += 1

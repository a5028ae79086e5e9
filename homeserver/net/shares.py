"""Fair shares of something of which there is not enough for all who want it.

Rules: shares only order who goes first; while there are free slots, whoever asks has
one at once. Work belongs to groups: the client that causes it, the domain of the name
that it is about, the addresses that it connects to. Its share is the largest number of
slots that one of its groups has.

| there is | then |
|---|---|
| a free slot | the work begins |
| no free slot, and a share that is larger by two | its oldest work is cut off, and |
| | the new one begins in its place |
| neither | the work waits: small shares first, then the known, then who asks rarely |
| no room to wait | of the largest group that waits, the last work is refused |

Several who want the same are one work; it has the smallest of their shares.
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

# By how much a share has to be larger than another one to give way to it: two who have
# one slot each are equals, and cutting one off for the other would help neither.
_MARGIN = 2

# After so long, half of what a client asked for is forgotten.
_HALF_LIFE_SECONDS = 60.0

_MAX_CLIENTS = 10_000  # that are counted; beyond them all counts begin anew


class GaveWay(Exception):
    """Others with smaller shares needed the slot; the same may succeed later."""


@dataclass(frozen=True)
class Claim:
    """Who wants something, and for what."""

    groups: frozenset[str]
    """None for who has no shares to keep to."""

    client: str = ""
    """Who causes it; empty for ourselves."""

    is_known: bool = True


@dataclass(eq=False)
class _Work:
    """Something that is done, or waits for its slot."""

    key: Hashable
    claim: Claim
    number: int
    more: set[str] = field(default_factory=set)
    """Groups that it was found to belong to while it was done."""

    begin: Deferred[None] = field(default_factory=Deferred)
    running: Deferred[Any] | None = None
    gave_way: bool = False

    @property
    def groups(self) -> frozenset[str]:
        return self.claim.groups | self.more if self.claim.groups else frozenset()


class Shares:
    """The slots of one resource, and who waits for one."""

    def __init__(
        self,
        bound: tuple[str, str],
        slots: int,
        max_waiting: int,
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`bound` is the name and the meaning of the bound that this is.

        `trusts` tells of an IP address whether its client has no shares to keep to.
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
        """The claim of a cause on something about a name of a domain."""
        if cause.client is None:
            return Claim(frozenset({f"name {domain}"}))
        if self._trusts(cause.client):
            return Claim(frozenset())
        client = subscriber_of(cause.client)
        self._count(client)
        groups = frozenset({f"client {client}", f"name {domain}"})
        return Claim(groups, client, is_known)

    def join(self, key: Hashable, claim: Claim) -> None:
        """Let work that is under way, if it is, have the share of one more claim."""
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
        """Count work that is done to the addresses that it goes to."""
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
        """Do some work in a slot; raises `GaveWay`, and what the work raises.

        While it is under way, `join` and `aim` know it by its `key`.
        """
        if key in self._held or key in self._waiting:
            key = object()  # it was forgotten, and is wanted anew
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
        """Let work begin, or wait."""
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
        """What waits in the largest group of those that wait; the last of it."""
        most = max(self._queued.values(), default=0)
        return next(
            work
            for work in reversed(self._waiting.values())
            if not most or any(self._queued[group] == most for group in work.groups)
        )

    def _stop_waiting(self, work: _Work) -> None:
        del self._waiting[work.key]
        self._queued.subtract(work.groups)
        self._queued += Counter()  # without those of none

    def _displace(self, work: _Work) -> None:
        """Let waiting work begin in place of another one, if its share is smaller."""
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
        """Give the slot of work that is done to who goes first."""
        if self._waiting.get(work.key) is work:
            self._stop_waiting(work)  # who wanted it gave up
        if self._held.get(work.key) is not work:
            return  # it gave way
        self._release(work)
        if self._is_filling:
            return  # or else works that are done at once would be nested
        self._is_filling = True
        while self._waiting and len(self._held) < self._slots:
            first = min(self._waiting.values(), key=self._rank)
            self._stop_waiting(first)
            self._begin(first)
        self._is_filling = False

    def _release(self, work: _Work) -> None:
        del self._held[work.key]
        self._sizes.subtract(work.groups)
        self._sizes += Counter()  # without those of none

    def _refuse(self, work: _Work) -> None:
        work.gave_way = True
        self.bound.refuse()

    def _size(self, groups: Iterable[str]) -> int:
        """How many slots the largest of some groups has."""
        return max((self._sizes[group] for group in groups), default=0)

    def _rank(self, work: _Work) -> tuple[int, bool, int, int]:
        claim = work.claim
        asked = self._asked[claim.client] if claim.client else 0
        return self._size(work.groups), not claim.is_known, asked, work.number

    def _count(self, client: str) -> None:
        """Count that a client asks."""
        if self._clock.seconds() - self._halved >= _HALF_LIFE_SECONDS:
            self._halved = self._clock.seconds()
            halves = {name: n // 2 for name, n in self._asked.items() if n > 1}
            self._asked = Counter(halves)
        if len(self._asked) >= _MAX_CLIENTS:
            self._asked.clear()
        self._asked[client] += 1


_WHY = "too many others ask at the same time, with smaller shares"

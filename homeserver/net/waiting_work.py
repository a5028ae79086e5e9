"""Work that waits for a slot of a scarce resource: which is first, which is last.

Rules: works with equal claims are of one kind. They have equal shares, so the oldest
and the newest of a kind stand for all of it: a step costs what the kinds cost, and a
flood has few of them, however much of its work waits.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.net.tally import Tally

# Of the newest works of the largest group, so many are compared: it is asked for each
# request of a crowd, whose clients take turns.
_COMPARED = 10


@dataclass(frozen=True)
class Claim:
    """The groups that one request for a slot belongs to."""

    groups: frozenset[str]
    """Empty for a client without limits."""

    site: str = ""
    """Of the client that causes it; empty for this server itself."""

    is_known: bool = True
    ours: str = ""
    """The one of our servers that it is for."""


class Work:
    """Work that runs, or waits for a slot."""

    def __init__(self, key: Hashable, claim: Claim) -> None:
        self.key = key
        self.claim = claim
        self.groups = claim.groups
        """Those of the claim, and of a client with limits those of its targets."""

        self.number = 0
        """Its place in the order in which works began to wait."""

        self._targets: frozenset[str] = frozenset()
        self.begin: Deferred[None] = Deferred()
        self.began = 0.0
        """By the clock, when it has a slot."""

        self.running: Deferred[Any] | None = None
        self.is_over = False
        self.gave_way = False

    def join(self, claim: Claim) -> None:
        """Take another claim."""
        self.claim = claim
        self._regroup()

    def aim(self, targets: Iterable[str]) -> None:
        """Add groups that became known while it runs."""
        self._targets |= frozenset(targets)
        self._regroup()

    def _regroup(self) -> None:
        groups = self.claim.groups
        self.groups = groups | self._targets if groups else groups


class WaitingWork:
    """All work that waits for a slot of one resource."""

    def __init__(self) -> None:
        self._works: OrderedDict[Hashable, Work] = OrderedDict()
        # Ordered, as the oldest of a plain dictionary is found behind all removed ones.
        self._kinds: dict[Claim, OrderedDict[Hashable, Work]] = {}
        self._numbers = count()
        self.of_clients = 0
        """How many are for clients that have limits."""

        # Of these: what this server itself needs makes room for none of them.
        self._sizes = Tally()
        self._sizes_of_ours = Tally()  # by the one of our servers that it is for

    def __len__(self) -> int:
        return len(self._works)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._works

    def find(self, key: Hashable) -> Work | None:
        """The work with a key; None if none waits."""
        return self._works.get(key)

    def add(self, work: Work) -> None:
        """Let work wait, as the newest."""
        work.number = next(self._numbers)
        self._works[work.key] = work
        self._count(work)

    def remove(self, work: Work) -> None:
        """Let work wait no more."""
        del self._works[work.key]
        self._discount(work)

    def join(self, work: Work, claim: Claim) -> None:
        """Give work another claim, with which it waits as long as it has."""
        self._discount(work)
        work.join(claim)
        self._count(work)
        kind = self._kinds[claim]
        by_age = sorted(kind.values(), key=lambda each: each.number)
        self._kinds[claim] = OrderedDict((each.key, each) for each in by_age)

    def first(self, rank: Callable[[Claim], tuple[int, ...]]) -> Work:
        """The oldest work of the kind with the least `rank`; something must wait."""
        first, least = None, None
        for claim, kind in self._kinds.items():
            own = rank(claim)
            if least is None or own <= least:
                oldest = next(iter(kind.values()))
                if first is None or own != least or oldest.number < first.number:
                    first, least = oldest, own
        assert first is not None  # noqa: S101 - for the type checker: something waits
        return first

    def last(self, asks: Callable[[Claim], tuple[int, ...]]) -> Work:
        """One of the newest of the largest group, of our server with the most.

        Of these it is the one that `asks` most, and the newest of those. Something must
        wait for a client.
        """
        _, crowded = self._sizes_of_ours.largest()
        if len(crowded) == len(self._sizes_of_ours):
            _, largest = self._sizes.largest()
            newest = (
                work
                for work in reversed(self._works.values())
                if work.claim.site and not largest.isdisjoint(work.groups)
            )
            return max(
                islice(newest, _COMPARED),
                key=lambda work: (asks(work.claim), work.number),
            )
        tails = (
            next(reversed(kind.values()))
            for claim, kind in self._kinds.items()
            if claim.site and claim.ours in crowded
        )
        return max(
            tails,
            key=lambda work: (
                self._sizes.size(work.groups),
                asks(work.claim),
                work.number,
            ),
        )

    def _count(self, work: Work) -> None:
        self._kinds.setdefault(work.claim, OrderedDict())[work.key] = work
        if work.claim.site:
            self.of_clients += 1
            self._sizes.add(work.groups)
            self._sizes_of_ours.add([work.claim.ours])

    def _discount(self, work: Work) -> None:
        kind = self._kinds[work.claim]
        del kind[work.key]
        if not kind:
            del self._kinds[work.claim]
        if work.claim.site:
            self.of_clients -= 1
            self._sizes.remove(work.groups)
            self._sizes_of_ours.remove([work.claim.ours])

"""Counting works in several groups each, and who goes first by that count."""

from collections import Counter
from functools import partial
from random import Random

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.net.cause import Cause
from homeserver.net.shares import Shares
from homeserver.net.tally import Tally
from homeserver.net.waiting_work import Work


def test_counts() -> None:
    """Each group has its works; one that has none left is forgotten."""
    tally = Tally()
    assert (tally.size("a"), tally.size(""), tally.largest()) == (
        0,
        0,
        (0, frozenset()),
    )
    for groups in ("ab", "ac", "d"):
        tally.add(groups)
    assert tally == {"a": 2, "b": 1, "c": 1, "d": 1}
    assert [tally.size(groups) for groups in ("a", "bc", "ba", "xd", "x")] == [
        *(2, 1, 2, 1, 0)
    ]
    assert tally.largest() == (2, frozenset("a"))
    tally.remove("ac")
    assert tally == {"a": 1, "b": 1, "d": 1}
    assert tally.largest() == (1, frozenset("abd"))


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_as_counted_one_by_one(seed: int) -> None:
    """Whatever happens, slots and queue hold what a look at each work says."""
    random = Random(seed)
    shares = Shares(("things", "things"), 5, 8, Clock())
    running: dict[object, Deferred[None]] = {}

    async def work(key: int) -> None:
        running[key] = Deferred(lambda _: None)
        try:
            await running[key]
        finally:
            running.pop(key, None)

    asked = []
    for key in range(300):
        client = f"192.0.2.{random.choice([1, 1, 1, 2, 3])}"
        claim = shares.claim(
            Cause(client), random.choice("aab"), is_known=random.random() < 0.3
        )
        held = list(shares._held.values())
        by_size = {each: _size(held, each.groups) for each in held}
        most = max(by_size.values(), default=0)
        own = _size(held, claim.groups)
        asked.append(Deferred.fromCoroutine(shares.run(key, claim, partial(work, key))))
        asked[-1].addErrback(lambda _: None)
        if len(held) == 5:
            gives_way = most >= own + 2
            [oldest, *_] = [each for each in held if by_size[each] == most]
            assert (oldest.key in shares._held) != gives_way
            assert (key in shares._held) == gives_way
        if random.random() < 0.3:
            shares.aim(key, [f"198.51.100.{random.randint(1, 3)}"])
        if random.random() < 0.5 and running:
            waiting = _waiting(shares)
            done = random.choice([*running])
            others = [each for each in shares._held.values() if each.key != done]
            ranked = sorted(
                waiting,
                key=lambda each: (
                    _size(others, each.groups),
                    not each.claim.is_known,
                    shares._asked[each.claim.site],
                ),
            )
            running[done].callback(None)
            if ranked:
                assert ranked[0].key in shares._held
        for tally, works in (
            (shares._sizes, list(shares._held.values())),
            (shares._waiting._sizes, _waiting(shares)),
        ):
            assert tally == Counter(group for each in works for group in each.groups)


def _waiting(shares: Shares) -> list[Work]:
    """The work that waits, the oldest first."""
    return sorted(shares._waiting._works.values(), key=lambda each: each.number)


def _size(works: list[Work], groups: frozenset[str]) -> int:
    """The number of works of the largest of some groups, counted one by one."""
    return max((sum(g in w.groups for w in works) for g in groups), default=0)

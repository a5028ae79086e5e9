"""Which of the works that wait for a slot is first, and which is last."""

from random import Random

import pytest

from homeserver.net.waiting_work import _COMPARED, Claim, WaitingWork, Work


def _claim(random: Random) -> Claim:
    site = random.choice(["", "x", "y"])
    groups = random.sample("abcd", random.randint(1 if site else 0, 2))
    return Claim(
        frozenset(groups),
        site,
        random.random() < 0.5,
        random.choice(["", "", "one", "two"]),
    )


@pytest.mark.parametrize("seed", range(10))
def test_first_and_last_are_as_found_one_by_one(seed: int) -> None:
    """However works come, go and change, both are what a look at each says."""
    random = Random(seed)
    ranks = {group: random.randint(0, 2) for group in "abcd"}

    def rank(claim: Claim) -> tuple[int, ...]:
        return max((ranks[each] for each in claim.groups), default=0), claim.is_known

    waiting, works = WaitingWork(), list[Work]()
    for key in range(400):
        if works and random.random() < 0.45:
            gone = works.pop(random.randrange(len(works)))
            waiting.remove(gone)
            assert gone.key not in waiting
        else:
            works.append(Work(key, _claim(random)))
            waiting.add(works[-1])
        if works and random.random() < 0.3:
            waiting.join(random.choice(works), _claim(random))
        assert len(waiting) == len(works)
        if not works:
            continue
        assert all(waiting.find(each.key) is each for each in works)
        # Python's `min` takes the oldest of equal ones.
        assert waiting.first(rank) is min(works, key=lambda each: rank(each.claim))
        of_clients = [each for each in works if each.claim.site]
        assert waiting.of_clients == len(of_clients)
        if of_clients:
            assert waiting.last(_asks) is _last(of_clients)


def _asks(claim: Claim) -> tuple[bool, bool]:
    return claim.is_known, claim.site == "x"


def _last(works: list[Work]) -> Work:
    """The newest of the largest group, of the one of our servers with most works.

    Of the newest, it is that of a client that asks most.
    """
    works = sorted(works, key=lambda each: each.number)
    ours = [each.claim.ours for each in works]
    most = max(map(ours.count, ours))
    of_most = [each for each in works if ours.count(each.claim.ours) == most]

    def size(work: Work) -> int:
        return max((sum(g in w.groups for w in works) for g in work.groups), default=0)

    if len(of_most) < len(works):
        return max(reversed(of_most), key=lambda work: (size(work), _asks(work.claim)))
    largest = [each for each in works if size(each) == max(map(size, works))]
    return max(largest[: -_COMPARED - 1 : -1], key=lambda work: _asks(work.claim))

"""Which destinations are due, and which of them go first.

Rules: the destination that waits for longest goes first, but every other time it is the
one that something was queued for last: a crowd that waits delays neither what was there
before it nor what comes after it. Destinations that failed last time have slots of
their own, and go first every fourth time. Where domains are crowded, others go first.
"""

from collections.abc import Collection, Iterator
from itertools import chain, islice, zip_longest

from msgspec import Struct

from homeserver.net.networks import domain_of
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor

# Of those that are due, how many more are looked at than can go: among them are some
# of a domain that is not crowded.
_CHOICE = 4


class Quota(Struct, frozen=True):
    """How many destinations may be served now beside those that are."""

    total: int
    failing: int
    """Of them, those that failed last time."""

    crowded: Collection[str] = frozenset()
    """Domains that have their share already."""

    def at_most(self, number: int) -> "Quota":
        """The same, but for no more than so many."""
        failing = min(self.failing, number)
        return Quota(min(self.total, number), failing, self.crowded)


class Due(Struct, frozen=True):
    """Destinations that are due, in the order in which they go."""

    names: list[ServerName]
    failing: frozenset[ServerName]
    """Those that failed last time."""

    is_all: bool
    """Whether there may be no more of them that the quota would take."""


def find_due(
    cursor: Cursor, now_ts: int, quota: Quota, busy: Collection[str], number: int
) -> Due:
    """Destinations that may be served now; their rows are held until the commit.

    `busy` are left out; `number` counts the times that this was asked.
    """
    healthy = _order(_healthy(cursor, now_ts, quota, busy, number), quota)
    failing = _order(_failing(cursor, now_ts, quota, busy), quota)
    if number % 4 == 3:
        failing = failing[: quota.failing]
        healthy = healthy[: quota.total - len(failing)]
    else:
        healthy = healthy[: quota.total]
        failing = failing[: min(quota.failing, quota.total - len(healthy))]
    held = _hold(cursor, [*healthy, *failing], now_ts)
    names = [name for name in (*healthy, *failing) if name.name in held]
    failed = frozenset(failing).intersection(names)
    is_all = len(names) < quota.total and not 0 < quota.failing <= len(failed)
    return Due(names, failed, is_all)


def _healthy(
    cursor: Cursor, now_ts: int, quota: Quota, busy: Collection[str], number: int
) -> Iterator[str]:
    limit = quota.total * _CHOICE + len(busy)
    oldest = _names(
        cursor,
        "SELECT server_name FROM destinations WHERE due_ts <= ? AND failures = 0"
        " ORDER BY due_ts LIMIT ?",
        now_ts,
        limit,
    )
    if len(oldest) < limit and quota.total >= len(oldest):
        return (name for name in oldest if name not in busy)
    newest = _names(
        cursor,
        "SELECT server_name FROM destinations WHERE due_ts <= ? AND failures = 0"
        " AND fresh = 1 ORDER BY due_ts DESC LIMIT ?",
        now_ts,
        limit,
    )
    pair = (newest, oldest) if number % 2 else (oldest, newest)
    both = chain.from_iterable(zip_longest(*pair))
    unique = dict.fromkeys(name for name in both if name is not None)
    return (name for name in unique if name not in busy)


def _failing(
    cursor: Cursor, now_ts: int, quota: Quota, busy: Collection[str]
) -> Iterator[str]:
    if quota.failing == 0:
        return iter(())
    found = _names(
        cursor,
        "SELECT server_name FROM destinations WHERE due_ts <= ? AND failures > 0"
        " ORDER BY due_ts LIMIT ?",
        now_ts,
        quota.failing * _CHOICE + len(busy),
    )
    return (name for name in found if name not in busy)


def _names(cursor: Cursor, sql: str, now_ts: int, limit: int) -> list[str]:
    return [name for [name] in cursor.execute(sql, (now_ts, limit)).fetchall()]


def _order(found: Iterator[str], quota: Quota) -> list[ServerName]:
    """Those of crowded domains last, and otherwise as they are."""
    names = [ServerName.parse(name) for name in islice(found, quota.total * _CHOICE)]
    if not quota.crowded:
        return names
    return sorted(names, key=lambda name: domain_of(name) in quota.crowded)


def _hold(cursor: Cursor, names: Collection[ServerName], now_ts: int) -> set[str]:
    """The names whose rows could be held, and are still due."""
    if not names:
        return set()
    marks = ", ".join("?" * len(names))
    rows = cursor.execute(
        "SELECT server_name FROM destinations"  # noqa: S608 - question marks
        f" WHERE server_name IN ({marks}) AND due_ts <= ? FOR UPDATE SKIP LOCKED",
        (*(name.name for name in names), now_ts),
    ).fetchall()
    return {name for [name] in rows}


def is_anybody_due(cursor: Cursor, now_ts: int) -> bool:
    """Whether a destination waits for a slot that it has not failed to use."""
    return bool(
        cursor.execute(
            "SELECT 1 FROM destinations WHERE due_ts <= ? AND failures = 0 LIMIT 1",
            (now_ts,),
        ).fetchall()
    )


# Each of the two is one step in an index.
_NEXT = (
    "SELECT (SELECT MIN(due_ts) FROM destinations WHERE due_ts > ? AND {0}),"
    " (SELECT MAX(due_ts) FROM destinations WHERE due_ts > ? AND {0})"
)


def next_due(
    cursor: Cursor, now_ts: int, longest_wait: float, lease: float
) -> int | None:
    """When the next destination is due that is not due now; None if none is.

    Should the clock have been set back, no destination waits for longer than
    `longest_wait` seconds from now, and no lease lasts for longer than `lease` seconds.
    """
    found = [
        cursor.execute(sql, (now_ts, now_ts)).fetchone()
        for sql in (_NEXT.format("failures = 0"), _NEXT.format("failures > 0"))
    ]
    times = [row for row in found if row[0] is not None]
    if not times:
        return None
    latest_ts = now_ts + int(longest_wait * 1000)
    lease_ts = now_ts + int(lease * 1000)
    if max(last_ts for _, last_ts in times) > latest_ts:
        cursor.execute(
            "UPDATE destinations SET due_ts = ? WHERE due_ts > ? AND holder IS NULL",
            (latest_ts, latest_ts),
        )
        cursor.execute(
            "UPDATE destinations SET due_ts = ?"
            " WHERE due_ts > ? AND holder IS NOT NULL",
            (lease_ts, lease_ts),
        )
    return min(max(latest_ts, lease_ts), *(int(next_ts) for next_ts, _ in times))

"""Which destinations are due, and which of them go first.

Rules: the destination that waits for longest goes first, but every other time it is the
one that something was queued for last: a crowd that waits delays neither what was there
before it nor what comes after it. Destinations that failed last time have slots of
their own, and go first every fourth time. Where domains are crowded, others go first.
"""

from collections.abc import Collection
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
    """Destinations that may be served now.

    `busy` are left out; `number` counts the times that this was asked.
    """
    found = _oldest(cursor, now_ts, quota, len(busy))
    healthy, failing = ([n for n, bad in found if bad == which] for which in (0, 1))
    if len(healthy) > quota.total:
        healthy = _with_newest(cursor, now_ts, quota, healthy, number)
    return _choose(
        _order(healthy, busy, quota), _order(failing, busy, quota), quota, number
    )


def _choose(
    healthy: list[ServerName], failing: list[ServerName], quota: Quota, number: int
) -> Due:
    """As many of both as the quota allows."""
    if number % 4 == 3:
        failing = failing[: quota.failing]
        healthy = healthy[: quota.total - len(failing)]
    else:
        healthy = healthy[: quota.total]
        failing = failing[: min(quota.failing, quota.total - len(healthy))]
    names = [*healthy, *failing]
    is_all = len(names) < quota.total and not 0 < quota.failing <= len(failing)
    return Due(names, frozenset(failing), is_all)


_OLDEST = (
    "SELECT server_name, {1} FROM (SELECT server_name FROM destinations"
    " WHERE due_ts <= ? AND {0} ORDER BY due_ts LIMIT ?) AS {2}"
)
_BOTH = " UNION ALL ".join(
    [
        _OLDEST.format("failures = 0", 0, "healthy"),
        _OLDEST.format("failures > 0", 1, "failing"),
    ]
)


def _oldest(
    cursor: Cursor, now_ts: int, quota: Quota, busy: int
) -> list[tuple[str, int]]:
    """Those that are due for longest, and whether each failed last time: 0 or 1."""
    failing = quota.failing * _CHOICE + busy if quota.failing else 0
    parameters = (now_ts, quota.total * _CHOICE + busy, now_ts, failing)
    rows: list[tuple[str, int]] = cursor.execute(_BOTH, parameters).fetchall()
    return rows


def _with_newest(
    cursor: Cursor, now_ts: int, quota: Quota, oldest: list[str], number: int
) -> list[str]:
    """By turns the one that is due for longest, and the last one to come."""
    rows = cursor.execute(
        "SELECT server_name FROM destinations WHERE due_ts <= ? AND failures = 0"
        " AND fresh = 1 ORDER BY due_ts DESC LIMIT ?",
        (now_ts, quota.total * _CHOICE),
    ).fetchall()
    newest = [name for [name] in rows]
    pair = (newest, oldest) if number % 2 else (oldest, newest)
    both = chain.from_iterable(zip_longest(*pair))
    return list(dict.fromkeys(name for name in both if name is not None))


def _order(found: list[str], busy: Collection[str], quota: Quota) -> list[ServerName]:
    """Those of crowded domains last, and otherwise as they are."""
    free = (name for name in found if name not in busy)
    names = [ServerName.parse(name) for name in islice(free, quota.total * _CHOICE)]
    if not quota.crowded:
        return names
    return sorted(names, key=lambda name: domain_of(name) in quota.crowded)


def lock(cursor: Cursor, due: Due, now_ts: int) -> Due:
    """Those whose rows could be held until the commit, and are still due.

    Where several processes share the store; one that has it alone holds every row.
    """
    if not due.names:
        return due
    marks = ", ".join("?" * len(due.names))
    rows = cursor.execute(
        "SELECT server_name FROM destinations"  # noqa: S608 - question marks
        f" WHERE server_name IN ({marks}) AND due_ts <= ? FOR UPDATE SKIP LOCKED",
        (*(name.name for name in due.names), now_ts),
    ).fetchall()
    held = {name for [name] in rows}
    names = [name for name in due.names if name.name in held]
    is_all = due.is_all or len(names) < len(due.names)
    return Due(names, due.failing.intersection(names), is_all)


def is_anybody_due(cursor: Cursor, now_ts: int) -> bool:
    """Whether a destination waits for a slot that it has not failed to use."""
    return bool(
        cursor.execute(
            "SELECT 1 FROM destinations WHERE due_ts <= ? AND failures = 0 LIMIT 1",
            (now_ts,),
        ).fetchall()
    )


# Each of the four is one step in an index.
_NEXT = (
    "SELECT (SELECT MIN(due_ts) FROM destinations WHERE due_ts > ? AND failures = 0),"
    " (SELECT MIN(due_ts) FROM destinations WHERE due_ts > ? AND failures > 0),"
    " (SELECT MAX(due_ts) FROM destinations WHERE due_ts > ? AND failures = 0),"
    " (SELECT MAX(due_ts) FROM destinations WHERE due_ts > ? AND failures > 0)"
)


def next_due(
    cursor: Cursor, now_ts: int, longest_wait: float, lease: float
) -> int | None:
    """When the next destination is due that is not due now; None if none is.

    Should the clock have been set back, no destination waits for longer than
    `longest_wait` seconds from now, and no lease lasts for longer than `lease` seconds.
    """
    row = cursor.execute(_NEXT, (now_ts,) * 4).fetchone()
    first, last = ([ts for ts in half if ts is not None] for half in (row[:2], row[2:]))
    if not first:
        return None
    latest_ts = now_ts + int(longest_wait * 1000)
    lease_ts = now_ts + int(lease * 1000)
    if max(last) > latest_ts:
        cursor.execute(
            "UPDATE destinations SET due_ts = ? WHERE due_ts > ? AND holder IS NULL",
            (latest_ts, latest_ts),
        )
        cursor.execute(
            "UPDATE destinations SET due_ts = ?"
            " WHERE due_ts > ? AND holder IS NOT NULL",
            (lease_ts, lease_ts),
        )
    return min(max(latest_ts, lease_ts), *map(int, first))

"""Which destinations are due, and which of them go first.

Rules: the longest overdue destination goes first; every other time, the one with the
newest entry does. So a crowd of destinations delays neither those before it nor those
after it. Destinations whose last attempt failed have slots of their own, and go first
every fourth time. Destinations of crowded domains go after all others.
"""

from collections.abc import Collection
from itertools import chain, islice, zip_longest

from msgspec import Struct

from homeserver.net.networks import domain_of
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor

# How many due destinations are read for each one that can go, so that some of them are
# of a domain that is not crowded.
_CHOICE = 4


class Quota(Struct, frozen=True):
    """How many more destinations may be sent to now."""

    total: int
    failing: int
    """Of them, those whose last attempt failed."""

    crowded: Collection[str] = frozenset()
    """Domains that have their share already."""

    def at_most(self, number: int) -> "Quota":
        """The same, for `number` destinations at most."""
        failing = min(self.failing, number)
        return Quota(min(self.total, number), failing, self.crowded)


class Due(Struct, frozen=True):
    """Due destinations, in the order in which they go."""

    names: list[ServerName]
    failing: frozenset[ServerName]
    """Those whose last attempt failed."""

    is_all: bool
    """Whether these are all that the quota allows and that are due."""


def find_due(
    cursor: Cursor, now_ts: int, quota: Quota, busy: Collection[str], number: int
) -> Due:
    """Destinations that may be sent to now.

    `busy` ones are left out; `number` counts the calls.
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
    """The longest overdue, and whether each one's last attempt failed: 0 or 1."""
    failing = quota.failing * _CHOICE + busy if quota.failing else 0
    parameters = (now_ts, quota.total * _CHOICE + busy, now_ts, failing)
    rows: list[tuple[str, int]] = cursor.execute(_BOTH, parameters).fetchall()
    return rows


def _with_newest(
    cursor: Cursor, now_ts: int, quota: Quota, oldest: list[str], number: int
) -> list[str]:
    """Alternately the longest overdue and the newest."""
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
    """The same order, with those of crowded domains last."""
    free = (name for name in found if name not in busy)
    names = [ServerName.parse(name) for name in islice(free, quota.total * _CHOICE)]
    if not quota.crowded:
        return names
    return sorted(names, key=lambda name: domain_of(name) in quota.crowded)


def lock(cursor: Cursor, due: Due, now_ts: int) -> Due:
    """Those whose rows could be locked until the commit, and are still due.

    For a store that several processes share; otherwise every row is locked anyway.
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


def is_another_due(cursor: Cursor, now_ts: int) -> bool:
    """Whether a destination waits for a slot whose last attempt did not fail."""
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
    """When the next destination becomes due; None if none will.

    If the clock was set back, no destination waits for longer than `longest_wait`
    seconds from now, and no lease lasts for longer than `lease` seconds.
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

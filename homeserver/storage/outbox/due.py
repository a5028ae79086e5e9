"""Which queues are due, and which of them go first.

Rules: the longest overdue queue goes first; every other time, the one with the newest
entry does. So a crowd of destinations delays neither those before it nor those after
it. Queues whose last attempt failed have slots of their own, and go first every fourth
time. Destinations of crowded domains go after all others. One look finds the due queues
of all names that this process serves, however many of them are idle.
"""

from collections.abc import Callable, Collection
from itertools import chain, islice, zip_longest

from msgspec import Struct

from homeserver.net.networks import domain_of
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.outbox.queue_id import QueueId

# How many due queues are read for each one that can go, so that some of them are of a
# domain that is not crowded.
_CHOICE = 4

# Names in one statement; SQLite takes 32,766 parameters.
_MAX_FOREIGN = 5000

_Row = tuple[str, str]  # the columns of a `QueueId`


class Quota(Struct, frozen=True):
    """How many more queues may be sent now."""

    total: int
    failing: int
    """Of them, those whose last attempt failed."""

    crowded: Collection[str] = frozenset()
    """Domains that have their share already."""

    def at_most(self, number: int) -> "Quota":
        """The same, for `number` queues at most."""
        failing = min(self.failing, number)
        return Quota(min(self.total, number), failing, self.crowded)


class Due(Struct, frozen=True):
    """Due queues, in the order in which they go."""

    queues: list[QueueId]
    failing: frozenset[QueueId]
    """Those whose last attempt failed."""

    is_all: bool
    """Whether these are all that the quota allows and that are due."""


class ServedNames:
    """Which names of the store this process serves.

    The store may have queues of other names: of another process, or of a name that is
    not configured any more. They are left out of the look for due queues. A name is
    left out as soon as a queue of it was found due.
    """

    def __init__(self, serves: Callable[[ServerName], bool]) -> None:
        """`serves` says whether this process serves a name, now."""
        self._serves = serves
        self._foreign: dict[str, None] = {}

    def serves(self, server_name: str) -> bool:
        """Whether this process serves a name; if not, leave it out from now on."""
        if self._serves(ServerName.parse(server_name)):
            return True
        self._foreign[server_name] = None
        return False

    @property
    def is_full(self) -> bool:
        """Whether more names are left out than a statement may list."""
        return len(self._foreign) > _MAX_FOREIGN

    def condition(self) -> tuple[str, tuple[str, ...]]:
        """A condition for rows of names that are not left out, and its parameters."""
        foreign = tuple(
            name
            for name in islice(self._foreign, _MAX_FOREIGN)
            if not self._serves(ServerName.parse(name))
        )
        if not foreign:
            return "", ()
        marks = ", ".join("?" * len(foreign))
        return f" AND server_name NOT IN ({marks})", foreign


def find_due(
    cursor: Cursor,
    now_ts: int,
    quota: Quota,
    busy: Collection[QueueId],
    number: int,
    served: ServedNames,
) -> Due:
    """Queues that may be sent now.

    `busy` ones are left out; `number` counts the calls.
    """
    rows = {queue.row for queue in busy}
    found = _only_served(
        lambda: _oldest(cursor, now_ts, quota, len(busy), served), served
    )
    healthy, failing = (
        [queue for queue, bad in found if bad == which] for which in (False, True)
    )
    if len(healthy) > quota.total:
        healthy = _with_newest(cursor, now_ts, quota, healthy, number, served)
    return _choose(
        _order(healthy, rows, quota), _order(failing, rows, quota), quota, number
    )


def _only_served(
    look: Callable[[], list[tuple[_Row, bool]]], served: ServedNames
) -> list[tuple[_Row, bool]]:
    """What a look finds of the served names; it is repeated if it finds others."""
    while True:
        found = look()
        own = [each for each in found if served.serves(each[0][0])]
        if len(own) == len(found) or served.is_full:
            return own


def _choose(
    healthy: list[QueueId], failing: list[QueueId], quota: Quota, number: int
) -> Due:
    """As many of both as the quota allows."""
    if number % 4 == 3:
        failing = failing[: quota.failing]
        healthy = healthy[: quota.total - len(failing)]
    else:
        healthy = healthy[: quota.total]
        failing = failing[: min(quota.failing, quota.total - len(healthy))]
    queues = [*healthy, *failing]
    is_all = len(queues) < quota.total and not 0 < quota.failing <= len(failing)
    return Due(queues, frozenset(failing), is_all)


_OLDEST = (
    "SELECT server_name, destination, {1} FROM (SELECT server_name, destination"
    " FROM destinations WHERE due_ts <= ? AND {0}{3} ORDER BY due_ts LIMIT ?) AS {2}"
)


def _oldest(
    cursor: Cursor, now_ts: int, quota: Quota, busy: int, served: ServedNames
) -> list[tuple[_Row, bool]]:
    """The longest overdue, and whether each one's last attempt failed."""
    where, names = served.condition()
    at_most = quota.failing * _CHOICE + busy if quota.failing else 0
    healthy = _OLDEST.format("failures = 0", 0, "healthy", where)
    failing = _OLDEST.format("failures > 0", 1, "failing", where)
    rows = cursor.execute(
        f"{healthy} UNION ALL {failing}",
        (
            *(now_ts, *names, quota.total * _CHOICE + busy),
            *(now_ts, *names, at_most),
        ),
    ).fetchall()
    return [((server_name, to), bool(bad)) for server_name, to, bad in rows]


def _with_newest(
    cursor: Cursor,
    now_ts: int,
    quota: Quota,
    oldest: list[_Row],
    number: int,
    served: ServedNames,
) -> list[_Row]:
    """Alternately the longest overdue and the newest."""
    where, names = served.condition()
    rows = cursor.execute(
        "SELECT server_name, destination FROM destinations WHERE due_ts <= ?"  # noqa: S608 - question marks
        f" AND failures = 0 AND fresh = 1{where} ORDER BY due_ts DESC LIMIT ?",
        (now_ts, *names, quota.total * _CHOICE),
    ).fetchall()
    newest = [(name, to) for name, to in rows if served.serves(name)]
    pair = (newest, oldest) if number % 2 else (oldest, newest)
    both = chain.from_iterable(zip_longest(*pair))
    return list(dict.fromkeys(row for row in both if row is not None))


def _order(found: list[_Row], busy: Collection[_Row], quota: Quota) -> list[QueueId]:
    """The same order, with those of crowded domains last."""
    free = (row for row in found if row not in busy)
    queues = [QueueId.of_row(*row) for row in islice(free, quota.total * _CHOICE)]
    if not quota.crowded:
        return queues
    return sorted(
        queues, key=lambda queue: domain_of(queue.destination) in quota.crowded
    )


def lock(cursor: Cursor, due: Due, now_ts: int) -> Due:
    """Those whose rows could be locked until the commit, and are still due.

    For a store that several processes share; otherwise every row is locked anyway.
    """
    if not due.queues:
        return due
    marks = ", ".join(["(?, ?)"] * len(due.queues))
    rows = cursor.execute(
        "SELECT server_name, destination FROM destinations"  # noqa: S608 - question marks
        f" WHERE (server_name, destination) IN (VALUES {marks})"
        " AND due_ts <= ? FOR UPDATE SKIP LOCKED",
        (*chain.from_iterable(queue.row for queue in due.queues), now_ts),
    ).fetchall()
    held = {(name, to) for name, to in rows}
    queues = [queue for queue in due.queues if queue.row in held]
    is_all = due.is_all or len(queues) < len(due.queues)
    return Due(queues, due.failing.intersection(queues), is_all)


def is_another_due(cursor: Cursor, now_ts: int, served: ServedNames) -> bool:
    """Whether a queue waits for a slot whose last attempt did not fail."""
    where, names = served.condition()
    return bool(
        cursor.execute(
            "SELECT 1 FROM destinations WHERE due_ts <= ? AND failures = 0"  # noqa: S608 - question marks
            f"{where} LIMIT 1",
            (now_ts, *names),
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
    """When the next queue becomes due; None if none will.

    If the clock was set back, no queue waits for longer than `longest_wait`
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

"""The bound on servers with stored keys, and the order in which they are forgotten.

Rules: the owner of a domain can have any number of server names, each with keys that
verify. So the names and their bytes are bounded, in one sum for all of our names. Of
our name that knows the most, the least recently used server is forgotten first: its
keys, its documents and how it was verified, all of which can be fetched again. A server
with queued entries is forgotten after all others, and one whose certificate an operator
has pinned is never forgotten.
"""

from collections.abc import Callable

from msgspec import Struct

from homeserver.net.bounds import Bound
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.server_keys import forget_keys

MAX_NAMES = 10_000  # more servers than most ever talk to
MAX_BYTES = 64 * 1024 * 1024  # six KB for each of them; honest ones have one or two

# The precision of the last use: writing it with each request would cost more.
USE_SECONDS = 3600.0

_KEY_BYTES = 100  # of a stored key, with its names

_BATCH = 100  # names that are read together


class Known(Struct, frozen=True):
    """How much the store knows of servers."""

    names: int = 0
    size: int = 0
    """In bytes."""

    forgotten: frozenset[tuple[ServerName, ServerName]] = frozenset()
    """What was forgotten for it: one of our names, and the server."""

    @property
    def forgotten_by_bound(self) -> tuple[int, int]:
        """How many were forgotten for each bound, in the order of `build_bounds`."""
        count = len(self.forgotten)
        for_names = min(count, max(0, self.names + count - MAX_NAMES))
        return for_names, count - for_names


def build_bounds(known: Callable[[], Known]) -> list[Bound]:
    """The bounds on what is stored; `known` returns the present amount."""
    return [
        Bound(
            "known_names",
            "servers whose keys are stored",
            MAX_NAMES,
            lambda: known().names,
        ),
        Bound(
            "known_names_bytes",
            "bytes of what is stored of servers",
            MAX_BYTES,
            lambda: known().size,
        ),
    ]


# `WHERE` of the rows about a server as one of our names knows it.
_IT = "server_name = ? AND peer = ?"

_SIZE = (
    f"(SELECT COALESCE(SUM(length), 0) FROM key_documents WHERE {_IT})"  # noqa: S608 - ours
    f" + (SELECT COUNT(*) FROM server_keys WHERE {_IT}) * ?"
    f" + COALESCE((SELECT LENGTH(pinned_keys) FROM peers WHERE {_IT}), 0)"
)


def note(
    cursor: Cursor, server_name: ServerName, peer: ServerName, now_ts: int
) -> Known:
    """Note that a server was stored, and forget what exceeds the bounds.

    `now_ts` is in milliseconds since 1970.
    """
    key = (server_name.name, peer.name)
    cursor.execute(
        "INSERT INTO known_names (server_name, peer, used_ts, size)"  # noqa: S608 - ours
        f" VALUES (?, ?, ?, {_SIZE})"
        " ON CONFLICT (server_name, peer) DO UPDATE SET"
        " used_ts = excluded.used_ts, size = excluded.size",
        (*key, now_ts, *key, *key, _KEY_BYTES, *key),
    )
    return _prune(cursor, key)


def last_use(cursor: Cursor, server_name: ServerName, peer: ServerName) -> int | None:
    """The last use of a server's keys, to the hour; None if nothing is stored."""
    row = cursor.execute(
        f"SELECT used_ts FROM known_names WHERE {_IT}",  # noqa: S608 - ours
        (server_name.name, peer.name),
    ).fetchone()
    return None if row is None else row[0]


def use(cursor: Cursor, server_name: ServerName, peer: ServerName, now_ts: int) -> None:
    """Note that the stored keys of a server were used."""
    cursor.execute(
        f"UPDATE known_names SET used_ts = ? WHERE {_IT}",  # noqa: S608 - ours
        (now_ts, server_name.name, peer.name),
    )


def recount(cursor: Cursor, server_name: ServerName, peer: ServerName) -> None:
    """Count again what is stored of a server; its name goes with the last of it."""
    key = (server_name.name, peer.name)
    cursor.execute(
        f"UPDATE known_names SET size = {_SIZE} WHERE {_IT}",  # noqa: S608 - ours
        (*key, *key, _KEY_BYTES, *key, *key),
    )
    nothing = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} WHERE {_IT})"  # noqa: S608 - ours
        for table in ("peers", "server_keys", "key_documents")
    )
    cursor.execute(f"DELETE FROM known_names WHERE {_IT} AND {nothing}", key * 4)  # noqa: S608 - ours


def forget(cursor: Cursor, server_name: ServerName, peer: ServerName) -> bool:
    """Forget how a server was verified, its keys and documents; whether any was known.

    A certificate that an operator has pinned stays.
    """
    key = (server_name.name, peer.name)
    had_keys = forget_keys(cursor, server_name, peer)
    cursor.execute(f"DELETE FROM known_names WHERE {_IT}", key)  # noqa: S608 - ours
    row = cursor.execute(
        f"DELETE FROM peers WHERE {_IT} RETURNING peer",  # noqa: S608 - ours
        key,
    ).fetchone()
    return had_keys or row is not None


def _prune(cursor: Cursor, keep: tuple[str, str]) -> Known:
    """Forget the least recently used servers, beyond the bounds."""
    names, size = cursor.execute(
        "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM known_names"
    ).fetchone()
    forgotten: set[tuple[ServerName, ServerName]] = set()
    while names > MAX_NAMES or size > MAX_BYTES:
        rows = _next_to_forget(cursor, keep, by_size=names <= MAX_NAMES)
        if not rows:
            break
        for own, peer, its_size in rows:
            if names <= MAX_NAMES and size <= MAX_BYTES:
                break
            pair = ServerName.parse(own), ServerName.parse(peer)
            forget(cursor, *pair)
            forgotten.add(pair)
            names, size = names - 1, size - its_size
    return Known(names, int(size), frozenset(forgotten))


def _next_to_forget(
    cursor: Cursor, keep: tuple[str, str], *, by_size: bool
) -> list[tuple[str, str, int]]:
    """Some servers of our name that knows the most: its name, the server's, the size.

    In the order in which they are forgotten; empty if there is none but `keep` and
    pinned ones.
    """
    most = "SUM(size)" if by_size else "COUNT(*)"
    own_names = cursor.execute(
        "SELECT server_name FROM known_names GROUP BY server_name"  # noqa: S608 - ours
        f" ORDER BY {most} DESC, server_name"
    ).fetchall()
    for own in own_names:
        rows: list[tuple[str, str, int]] = cursor.execute(
            "SELECT k.server_name, k.peer, k.size FROM known_names k"
            " LEFT JOIN destinations d"
            " ON d.server_name = k.server_name AND d.destination = k.peer"
            " WHERE k.server_name = ? AND NOT (k.server_name = ? AND k.peer = ?)"
            " AND NOT EXISTS (SELECT 1 FROM certificate_pins c"
            " WHERE c.server_name = k.server_name AND c.peer = k.peer)"
            " ORDER BY CASE WHEN d.queued > 0 THEN 1 ELSE 0 END, k.used_ts LIMIT ?",
            (*own, *keep, _BATCH),
        ).fetchall()
        if rows:
            return rows
    return []

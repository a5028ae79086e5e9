"""The bound on servers with stored keys, and the order in which they are forgotten.

Rules: the owner of a domain can have any number of server names, each with keys that
verify. So the names and their bytes are bounded. The least recently used name is
forgotten first: its keys, its documents and how it was verified, all of which can be
fetched again. A server with queued entries is forgotten after all others, and one whose
certificate an operator has pinned is never forgotten.
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

    forgotten: frozenset[ServerName] = frozenset()
    """The servers that were forgotten for it."""

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


def note(cursor: Cursor, server_name: ServerName, now_ts: int) -> Known:
    """Note that a server was stored, and forget what exceeds the bounds.

    `now_ts` is in milliseconds since 1970.
    """
    cursor.execute(
        "INSERT INTO known_names (server_name, used_ts, size) VALUES (?, ?,"
        " (SELECT COALESCE(SUM(length), 0) FROM key_documents WHERE server_name = ?)"
        " + (SELECT COUNT(*) FROM server_keys WHERE server_name = ?) * ?"
        " + COALESCE((SELECT LENGTH(pinned_keys) FROM peers WHERE server_name = ?), 0))"
        " ON CONFLICT (server_name) DO UPDATE SET"
        " used_ts = excluded.used_ts, size = excluded.size",
        (
            server_name.name,
            now_ts,
            server_name.name,
            server_name.name,
            _KEY_BYTES,
            server_name.name,
        ),
    )
    return _prune(cursor, server_name)


def last_use(cursor: Cursor, server_name: ServerName) -> int | None:
    """The last use of a server's keys, to the hour; None if nothing is stored."""
    row = cursor.execute(
        "SELECT used_ts FROM known_names WHERE server_name = ?", (server_name.name,)
    ).fetchone()
    return None if row is None else row[0]


def use(cursor: Cursor, server_name: ServerName, now_ts: int) -> None:
    """Note that the stored keys of a server were used."""
    cursor.execute(
        "UPDATE known_names SET used_ts = ? WHERE server_name = ?",
        (now_ts, server_name.name),
    )


def forget(cursor: Cursor, server_name: ServerName) -> bool:
    """Forget how a server was verified, its keys and documents; whether any was known.

    A certificate that an operator has pinned stays.
    """
    had_keys = forget_keys(cursor, server_name)
    cursor.execute("DELETE FROM known_names WHERE server_name = ?", (server_name.name,))
    row = cursor.execute(
        "DELETE FROM peers WHERE server_name = ? RETURNING server_name",
        (server_name.name,),
    ).fetchone()
    return had_keys or row is not None


def _prune(cursor: Cursor, keep: ServerName) -> Known:
    """Forget the least recently used names, beyond the bounds."""
    names, size = cursor.execute(
        "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM known_names"
    ).fetchone()
    forgotten: set[ServerName] = set()
    while names > MAX_NAMES or size > MAX_BYTES:
        rows = cursor.execute(
            "SELECT k.server_name, k.size FROM known_names k"
            " LEFT JOIN destinations d ON d.server_name = k.server_name"
            " WHERE k.server_name <> ? AND NOT EXISTS (SELECT 1 FROM certificate_pins c"
            " WHERE c.server_name = k.server_name)"
            " ORDER BY CASE WHEN d.queued > 0 THEN 1 ELSE 0 END, k.used_ts LIMIT ?",
            (keep.name, _BATCH),
        ).fetchall()
        if not rows:
            break
        for name, own_size in rows:
            if names <= MAX_NAMES and size <= MAX_BYTES:
                break
            server_name = ServerName.parse(name)
            forget(cursor, server_name)
            forgotten.add(server_name)
            names, size = names - 1, size - own_size
    return Known(names, int(size), frozenset(forgotten))

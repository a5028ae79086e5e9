"""The engines, and which of them a URL names.

Rules of the room: nothing else here knows one engine from another. A driver that is
not everybody's is imported when it is asked for.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime

from homeserver.net.wall_clock import wall_seconds
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import Cursor, StoreClock, StoreUnavailable
from homeserver.storage.engine.sqlite import SqliteFile


class Engine(Struct, frozen=True):
    """What there is to know of a store before it is opened."""

    connect: Callable[[], Connection]
    """Raises `StoreUnavailable`."""

    clock: StoreClock
    is_shared: bool
    """Whether other processes may be at work on it."""

    connect_for_shortcut: Callable[[], Connection] | None = None
    """Makes a connection that waits for no lock and does not sync its commits, which
    a commit over another connection does. None where the store is not on this
    machine."""


def choose(url: str, folder: Path, clock: IReactorTime) -> Engine:
    """The engine for the store at `url`; a relative path is one below `folder`.

    Raises `StoreUnavailable` where it is not installed.
    """
    if url.startswith("sqlite:"):
        file = SqliteFile(folder / url.removeprefix("sqlite:"))
        return Engine(
            file.connect,
            partial(_own_time, clock),
            is_shared=False,
            connect_for_shortcut=file.connect_for_shortcut,
        )
    try:
        from homeserver.storage.engine import postgres  # noqa: PLC0415 - see above
    except ImportError as error:
        raise StoreUnavailable(
            f"PostgreSQL needs psycopg ({error}); install it with "
            "pip install 'matrix-federation-endpoint[postgres]'"
        ) from None
    return Engine(partial(postgres.connect, url), postgres.now_ts, is_shared=True)


def _own_time(clock: IReactorTime, _: Cursor) -> int:
    return int(wall_seconds(clock) * 1000)

"""The engines, and which of them a URL names.

Rules: nothing else distinguishes engines. An optional driver is imported when needed.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime

from homeserver.net.wall_clock import wall_ts
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import StoreClock, StoreUnavailable
from homeserver.storage.engine.sqlite import SqliteFile


class Engine(Struct, frozen=True):
    """A store that is not opened yet; `connect` raises `StoreUnavailable`."""

    connect: Callable[[], Connection]
    clock: StoreClock
    is_shared: bool
    """Whether other processes may use it."""

    connect_for_shortcut: Callable[[], Connection] | None = None
    """Makes a connection that waits for no lock and does not sync its commits, which
    another connection does. None where the store is a server."""


def choose(url: str, folder: Path, clock: IReactorTime) -> Engine:
    """The engine for the store at `url`; a relative path is one below `folder`.

    Raises `StoreUnavailable` if the engine is not installed.
    """
    if url.startswith("sqlite:"):
        file = SqliteFile(folder / url.removeprefix("sqlite:"))
        return Engine(
            file.connect,
            lambda _: wall_ts(clock),
            is_shared=False,
            connect_for_shortcut=file.connect_for_shortcut,
        )
    try:
        from homeserver.storage.engine import postgres  # noqa: PLC0415 - see above
    except ImportError as error:
        raise StoreUnavailable(
            f"PostgreSQL needs psycopg ({error}); install it in the folder of the "
            "source: .venv/bin/pip install '.[postgres]'"
        ) from None
    return Engine(partial(postgres.connect, url), postgres.now_ts, is_shared=True)

"""The engines, and which of them a URL names.

Rules of the room: nothing else here knows one engine from another.
"""

from functools import partial
from pathlib import Path

from twisted.internet.interfaces import IReactorFromThreads

from homeserver.storage import sqlite
from homeserver.storage.threads import ThreadedDatabase


def open_database(
    url: str, folder: Path, reactor: IReactorFromThreads
) -> ThreadedDatabase:
    """The database at `url`; a relative path is one below `folder`.

    Raises `StoreUnavailable`.
    """
    path = folder / url.removeprefix("sqlite:")
    return ThreadedDatabase(partial(sqlite.connect, path), reactor)

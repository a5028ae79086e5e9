"""A store without a thread ends its connection."""

import gc

from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.sqlite import SqliteConnection, connect_in_memory


class Ended(SqliteConnection):
    """A connection that tells in which order it is closed and let go of."""

    def __init__(self, events: list[str]) -> None:
        super().__init__(connect_in_memory().connection, ":memory:")
        self.events = events

    def close(self) -> None:
        """As `Connection.close`."""
        self.events.append("closed")
        super().close()

    def __del__(self) -> None:
        self.events.append("let go of")


def test_closed_in_a_circle() -> None:
    """The connection is closed first where the collector finds both."""
    events: list[str] = []
    database = ImmediateDatabase(Ended(events))
    circle: list[object] = [database]
    circle.append(circle)
    del database, circle
    assert events == []
    gc.collect()
    assert events == ["closed", "let go of"]

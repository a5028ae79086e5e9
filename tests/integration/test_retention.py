"""A real daemon removes what it need not keep, and nothing that it owes."""

import sqlite3
from contextlib import closing
from pathlib import Path

from scripts.processes import Endpoint, first_line
from tests.support.daemon_metrics import metrics
from tests.support.daemons import EDU, endpoints
from tests.support.eventually import eventually

# Days that a stored time is moved by, and kept for: a slow machine is not that slow.
_MOVED_DAYS = 2
_TABLES = """
[retention]
received_days = 1
sent_days = 1
"""

_TIMES = (
    ("received_transactions", "received_ts"),
    ("outbound_transactions", "delivered_ts"),
    ("outbound_entries", "queued_ts"),
)


def make_old(endpoint: Endpoint) -> None:
    """Move what a stopped endpoint has stored into the past.

    To wait for it is no use: ages do not follow the clock while an endpoint is stopped.
    """
    moved = _MOVED_DAYS * 86_400_000
    store = endpoint.folder / "homeserver.db"
    with closing(sqlite3.connect(store)) as connection, connection:
        for table, column in _TIMES:
            connection.execute(f"UPDATE {table} SET {column} = {column} - ?", (moved,))


def pruned(endpoint: Endpoint, of: str) -> float:
    """How many transactions were removed."""
    name = f'homeserver_pruned_total{{of="{of}"}}'
    return metrics(endpoint).get(name, 0.0)


def test_what_is_too_old_is_removed(tmp_path: Path) -> None:
    """After a start, old content is gone, what is owed is kept, and is delivered."""
    with endpoints(tmp_path, "alpha.test", "beta.test") as [alpha, beta]:
        for each in (alpha, beta):
            with each.configuration.open("a") as file:
                file.write(_TABLES)
        with alpha.running() as first, beta.running() as second:
            first_line(first)
            first_line(second)
            [sent] = alpha.ask("send", beta.name, "--edu", EDU % 1)
            assert sent["state"] == "delivered"
        with alpha.running() as process:
            first_line(process)
            done = alpha.call("send", "--timeout", "0", beta.name, "--edu", EDU % 2)
            assert done.returncode == 1
        make_old(alpha)
        make_old(beta)
        with alpha.running() as first:
            first_line(first)
            eventually(lambda: pruned(alpha, "sent") == 1)
            with beta.running() as second:
                first_line(second)
                eventually(lambda: pruned(beta, "received") == 1)

                def received() -> list[object]:
                    return [each["edus"] for each in beta.ask("received")]

                # The first one is not listed without its content.
                new: list[object] = [[{"edu_type": "m.test", "content": {"number": 2}}]]
                eventually(lambda: received() == new)
                assert pruned(alpha, "sent") == 1

"""Destinations that never answer keep no other one waiting."""

import sqlite3
from contextlib import closing
from pathlib import Path

from scripts.processes import first_line, free_ports, make_endpoint
from tests.support.certificates import authority
from tests.support.eventually import eventually
from tests.support.hanging_servers import hanging
from tests.support.receivers import receiving

CROWD = 150  # more than all slots; each hangs for a minute

EDU = '{"edu_type": "m.test", "content": {}}'


def queue(store: Path, names: list[str]) -> None:
    """Owe an EDU to each of many destinations."""
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.executemany(
            "INSERT INTO destinations (server_name, destination, queued, due_ts)"
            " VALUES ('alpha.test', ?, 1, 0)",
            [(name,) for name in names],
        )
        connection.executemany(
            "INSERT INTO outbound_entries"
            " (server_name, destination, pdus, edus, length, queued_ts)"
            " VALUES ('alpha.test', ?, '[]', ?, 50, 1)",
            [(name, f"[{EDU}]") for name in names],
        )


def test_crowd_that_hangs(tmp_path: Path) -> None:
    """While more destinations hang than there are slots, another one is served."""
    root = authority()
    addresses = [f"127.0.{1 + n // 100}.{1 + n % 100}" for n in range(CROWD)]
    with (
        hanging(addresses, root, tmp_path / "crowd") as (crowd, names),
        receiving(tmp_path, free_ports(1), issuer=root) as ([receiver], configuration),
    ):
        alpha = make_endpoint(tmp_path / "alpha", "alpha.test", configuration)
        with alpha.running() as process:
            first_line(process)
        queue(alpha.folder / "homeserver.db", names)
        with alpha.running() as process:
            first_line(process)

            def is_served_meanwhile() -> bool:
                eventually(lambda: crowd.waiting == CROWD)
                before = crowd.ended
                [state] = alpha.ask(
                    "send", receiver.name, "--edu", EDU, "--timeout", "100"
                )
                assert state["state"] == "delivered"
                # On a slow machine, one of them may have ended by itself.
                return crowd.ended == before

            for _ in range(3):
                eventually(is_served_meanwhile)

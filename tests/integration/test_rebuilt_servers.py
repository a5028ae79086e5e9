"""What a daemon stores of servers that strangers name, or that were rebuilt."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing import SigningKey
from scripts.processes import LOOPBACK, Endpoint
from tests.support.certificates import issue_for
from tests.support.origins_by_address import (
    FIRST,
    REBUILT,
    build,
    name_of,
    running_daemon,
    send,
)
from tests.support.recording_peers import RecordingPeer, http, listening


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Endpoint]:
    """A daemon that knows no server."""
    with running_daemon(tmp_path) as endpoint:
        yield endpoint


@pytest.fixture
def origin() -> Iterator[RecordingPeer]:
    """A server that is called by its address and port."""
    with listening(RecordingPeer(issue_for(LOOPBACK), http(b"{}"))) as peer:
        yield peer


def rows(daemon: Endpoint) -> dict[str, int]:
    """How many rows each table has that names other servers."""
    with closing(sqlite3.connect(daemon.folder / "homeserver.db")) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("server_keys", "key_documents", "peers", "destinations")
        }


def forget(daemon: Endpoint, name: ServerName) -> int:
    """The exit status of the command that the daemon names."""
    return daemon.call("peers", "--forget", name.name).returncode


@pytest.mark.parametrize("is_renewed", [True, False], ids=["new certificate", "same"])
def test_rebuilt_server(
    daemon: Endpoint, origin: RecordingPeer, *, is_renewed: bool
) -> None:
    """A server with a new key under the old ID is told so, until it is forgotten."""
    first = issue_for(LOOPBACK)
    build(origin, FIRST, first)
    assert send(daemon, origin, FIRST, "1").status == 200
    build(origin, REBUILT, issue_for(LOOPBACK) if is_renewed else first)
    if is_renewed:  # or else the connection of before is used
        origin.hang_up()
    name = name_of(origin)
    for txn_id in "2", "3":
        refused = send(daemon, origin, REBUILT, txn_id)
        assert refused.outcome == (401, "M_UNAUTHORIZED")
        said = str(refused.json["error"])
        assert f"ed25519:auto of {name} is {public(REBUILT)} now, and was " in said
        assert f"stored as {public(FIRST)} since 20" in said
        assert f"`homeserver peers --forget {name}`" in said
    assert send(daemon, origin, FIRST, "4").status == 200  # what is stored stays
    assert forget(daemon, name) == 0
    assert rows(daemon) == dict.fromkeys(rows(daemon), 0)
    assert send(daemon, origin, FIRST, "5").status == 401
    assert send(daemon, origin, REBUILT, "6").status == 200


def public(key: SigningKey) -> str:
    """The public half of a key, in base64."""
    return encode_base64(key.verify_key.key)


def test_forged_requests_store_nothing(daemon: Endpoint, origin: RecordingPeer) -> None:
    """Forged requests in a name leave nothing of it on the disk, whatever it serves."""
    padding = {"padding": "x" * 60_000}
    build(origin, FIRST, issue_for(LOOPBACK), **padding)
    for number in range(5):
        assert send(daemon, origin, REBUILT, f"{number}").status == 401
    assert rows(daemon) == dict.fromkeys(rows(daemon), 0)
    assert any(b"/_matrix/key/v2/server" in each for each in origin.received)
    # The first request that is proven is another matter.
    assert send(daemon, origin, FIRST, "good").status == 200
    assert rows(daemon) == {
        "server_keys": 1,
        "key_documents": 1,
        "peers": 1,
        "destinations": 0,
    }

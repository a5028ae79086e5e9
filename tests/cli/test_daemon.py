"""The daemon of a command, as typed on the command line."""

from pathlib import Path

import pytest

from homeserver.cli.daemon import Daemon
from homeserver.protocol.identifiers import ServerName

URL = "http://127.0.0.1:8008"


@pytest.mark.parametrize(
    ("url", "token", "server", "typed"),
    [
        (None, None, None, "-c a.toml"),
        (None, "token", "b.test", "-c a.toml --server b.test"),
        (URL, None, None, f"--lab {URL}"),
        (URL, "token", None, f"--lab {URL} --token-file token"),
        (URL, "token", "b.test", f"--lab {URL} --token-file token --server b.test"),
    ],
)
def test_chosen(
    url: str | None, token: str | None, server: str | None, typed: str
) -> None:
    """It is named by the options that choose it, and by no other."""
    daemon = Daemon(
        Path("a.toml"),
        url,
        None if token is None else Path(token),
        None if server is None else ServerName.parse(server),
    )
    assert daemon.chosen == typed

"""Commands, run in this process against a daemon that answers as the test says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from homeserver.cli.main import main
from homeserver.identity import new_endpoint
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import ServerName

EDU = '{"edu_type": "m.test", "content": {}}'
PEER = {"failures": 0, "next_attempt_ts": None, "last_error": None}
STATE = {"id": 6, "state": "queued", "txn_id": None, "error": None, "remarks": []}
DONE = {**STATE, "state": "delivered", "txn_id": "1", "reply": {}}
UNKNOWN_TOKEN = {"errcode": "M_UNKNOWN_TOKEN", "error": "this is not the token"}

ANSWERS: dict[str, tuple[int, Any]] = {
    "GET /health": (200, {"status": "ok"}),
    "GET /v1/bounds": (200, {"bounds": []}),
    "GET /v1/peers": (200, {"peers": [], "next": None}),
    "GET /v1/peers/b.test": (200, PEER),
    "POST /v1/send/b.test": (202, {"id": 6}),
    "GET /v1/send/b.test/6": (200, DONE),
    "DELETE /v1/send/b.test": (200, {"dropped": 1}),
}


def configured(folder: Path, control: str) -> Path:
    """A configuration whose control API is at an address."""
    settings = new_endpoint.Settings(
        ServerName.parse("a.test"),
        SocketAddress("127.0.0.1", 0),
        SocketAddress.parse(control),
    )
    return new_endpoint.create(folder / "a", settings)[0]


def run(*words: object, env: Mapping[str, str] | None = None) -> Result:
    """Run a command."""
    arguments = [str(each) for each in words]
    return CliRunner(env=env).invoke(main, arguments, prog_name="homeserver")


def failed(result: Result) -> tuple[int, str]:
    """How a command that prints no result has ended, and what it says."""
    assert result.stdout == ""
    return result.exit_code, result.stderr

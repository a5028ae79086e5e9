"""The command that makes users and rooms of a target."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from homeserver.conformance.setup import BadSetup, Setup
from tests.support.waiting import reactor

_ECHO = "import json,sys; print(json.dumps({'got': json.load(sys.stdin)}))"

# A process of its own: only a reactor that runs notices that its processes end.
_DRIVER = """
import os, sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from homeserver.conformance.setup import Setup, SetupFailed

async def make():
    try:
        print(await Setup(sys.argv[1], reactor, os.environ).make("room", version="10"))
    except SetupFailed as problem:
        print("failed:", problem)

def start():
    Deferred.fromCoroutine(make()).addBoth(lambda _: reactor.stop())

reactor.callWhenRunning(start)
reactor.run()
"""


_PROGRAM = Path(__file__).parents[2] / "conf" / "conform" / "setup.py"

_ANSWERS: dict[str, dict[str, str]] = {
    "/_synapse/admin/v1/register": {
        "nonce": "n",
        "user_id": "@user:server.test",
        "access_token": "token",
    },
    "/_matrix/media/v3/upload": {"content_uri": "mxc://server.test/picture"},
}


class _ClientApi(ThreadingHTTPServer):
    """A target's client API, as far as the command needs it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.taken: list[tuple[str, str | None, bytes]] = []
        """The path, the authorization and the body of each request by POST."""


class _Answer(BaseHTTPRequestHandler):
    server: _ClientApi

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        taken = (self.path, self.headers["Authorization"], body)
        self.server.taken.append(taken)
        self._answer()

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        pass

    def _answer(self) -> None:
        body = json.dumps(_ANSWERS[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def client_api() -> Iterator[_ClientApi]:
    """One that runs."""
    with _ClientApi() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("need", "answer", "beginning"),
    [
        ({"need": "user"}, {"user_id": "@user:server.test"}, b'{"nonce"'),
        ({"need": "media"}, {"media_id": "picture"}, b"\x89PNG\r\n\x1a\n"),
    ],
)
def test_ours_makes_what_is_needed(
    client_api: _ClientApi, need: object, answer: object, beginning: bytes
) -> None:
    """The last request made it."""
    host, port = client_api.server_address[:2]
    variables = {
        "CONFORM_CLIENT_API": f"http://{host!s}:{port}",
        "CONFORM_SHARED_SECRET": "secret",
    }
    done = subprocess.run(
        [sys.executable, str(_PROGRAM)],
        input=json.dumps(need),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == answer
    path, authorization, body = client_api.taken[-1]
    assert body.startswith(beginning)
    assert authorization == (None if "register" in path else "Bearer token")


def _make(command: str) -> str:
    """What comes of a command."""
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, command],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_it_gets_the_need_and_answers() -> None:
    """Both are JSON objects."""
    answer = _make(f'{sys.executable} -c "{_ECHO}"')
    assert answer.strip() == "{'got': {'need': 'room', 'version': '10'}}"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; sys.exit('no such version')", "no such version"),
        ("print('[]')", "no JSON object"),
        ("print('[' * 100000)", "no JSON object"),
        ("pass", "no JSON object"),
    ],
)
def test_it_makes_nothing(code: str, why: str) -> None:
    """The reason names what the command said."""
    answer = _make(f'{sys.executable} -c "{code}"')
    assert answer.startswith("failed: room")
    assert why in answer


def test_there_is_no_such_program() -> None:
    """That makes nothing, either."""
    assert _make("/nonexistent/program").startswith("failed: /nonexistent/program")


@pytest.mark.parametrize("command", ["", "  ", "'"])
def test_it_is_no_command(command: str) -> None:
    """That is a mistake of the caller."""
    with pytest.raises(BadSetup, match="--setup"):
        Setup(command, reactor, {})

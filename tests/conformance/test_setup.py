"""The command that makes users and rooms of a target."""

import subprocess
import sys

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

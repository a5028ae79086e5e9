"""The command that makes what only the target's owner can: a user, a room, a restart.

Rules: it is run once for each need, gets `{"need": ...}` on standard input, and answers
a JSON object on standard output. It and all that it started end with the run, however
that ends, and within its time.
"""

import json
import shlex
import sys
from collections.abc import Mapping
from shutil import which
from typing import Protocol, cast

from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from homeserver.conformance import keeper
from homeserver.net.time_limit import within
from homeserver.protocol.canonical_json import Json

_SECONDS = 120.0  # for a restart of the target; the others take one
_MAX_BYTES = 2**20
_MAX_SHOWN = 300  # characters of what it said


class BadSetup(ValueError):
    """There is no command in the text."""


class SetupFailed(Exception):
    """The command made nothing; `str()` says what it said."""


class Maker(Protocol):
    """Makes what checks need of a target."""

    async def make(self, need: str, **details: object) -> Json:
        """What there is now; raises `SetupFailed`.

        A `user` answers `user_id`, a `room` of a `version` `room_id` and perhaps
        `alias`, `media` `media_id`, a `restart` nothing. So does a `join` of a user,
        `user_id`, to a room of ours, `room_id`, through our server `via`.

        A room is public, unless it is to have other `state`: {event type: content}, or
        `power_levels`: members of that event, whose `users` are there beside the
        creator. Users may be there to `invite` or to `ban`.
        """
        ...


class Setup:
    """Runs the command."""

    def __init__(
        self, command: str, reactor: PosixReactorBase, environment: Mapping[str, str]
    ) -> None:
        """Raises `BadSetup` for a command that is no line of a shell."""
        try:
            self._words = shlex.split(command)
        except ValueError as problem:
            raise BadSetup(f"--setup: {problem}") from None
        if not self._words:
            raise BadSetup("--setup: there is no command in it")
        self._reactor = reactor
        self._environment = environment

    async def make(self, need: str, **details: object) -> Json:
        """What the command answers to a need; raises `SetupFailed`."""
        request = json.dumps({"need": need, **details})
        process = _Process(request.encode("utf-8"))
        if which(self._words[0], path=self._environment.get("PATH")) is None:
            raise SetupFailed(f"{self._words[0]}: there is no such program")
        transport = self._reactor.spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-m", keeper.__name__, *self._words],
            env=dict(self._environment),
            childFDs={0: "w", 1: "r", 2: "r", keeper.LIFELINE: "w"},
        )
        try:
            await within(_SECONDS, self._reactor, process.ended)
        except defer.TimeoutError:
            raise SetupFailed(f"{need}: not over within {_SECONDS:g} s") from None
        finally:
            # Also its own children end then.
            transport.closeChildFD(keeper.LIFELINE)
        return _answer(need, process)


def _answer(need: str, process: "_Process") -> Json:
    said = process.errors.decode("utf-8", "replace").strip() or "it said nothing"
    if process.status:
        why = f"{need}: the command ended with {process.status}"
        raise SetupFailed(f"{why}: {said[-_MAX_SHOWN:]}")
    try:
        answer = json.loads(process.output)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise SetupFailed(f"{need}: the command answered no JSON object")
    return cast("Json", answer)


class _Process(ProcessProtocol):
    """One run of the command."""

    transport: IProcessTransport

    def __init__(self, request: bytes) -> None:
        self.output = b""
        self.errors = b""
        self.status: int | None = 0
        self.ended: Deferred[None] = Deferred()
        self._request = request

    def connectionMade(self) -> None:
        """As `ProcessProtocol`: it runs."""
        self.transport.writeToChild(0, self._request)
        self.transport.closeChildFD(0)

    def outReceived(self, data: bytes) -> None:
        """As `ProcessProtocol`."""
        self.output = (self.output + data)[:_MAX_BYTES]

    def errReceived(self, data: bytes) -> None:
        """As `ProcessProtocol`."""
        self.errors = (self.errors + data)[-_MAX_BYTES:]

    def processEnded(self, reason: Failure) -> None:
        """As `ProcessProtocol`."""
        value = reason.value
        if isinstance(value, error.ProcessTerminated):
            self.status = value.exitCode if value.exitCode is not None else -1
        if not self.ended.called:
            self.ended.callback(None)

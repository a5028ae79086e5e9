"""How the end of a connection is told."""

from collections.abc import Callable

from twisted.internet import defer, error
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError
from twisted.web.client import ResponseFailed

from homeserver.net.connection_errors import describe
from tests.support.connections import LOST
from tests.support.tables import cases

CANCELLED = Failure(defer.CancelledError())

GARBAGE = ParseError("wrong number of parts", b"220 ESMTP \x1b[31m")

DESCRIPTIONS: list[tuple[str, Callable[[], Exception], str]] = [
    ("closed", error.ConnectionDone, "the peer ended the connection"),
    ("lost", error.ConnectionLost, "the peer ended the connection"),
    ("aborted", error.ConnectionAborted, "the peer ended the connection"),
    ("time-out", defer.TimeoutError, "no answer in time"),
    ("time-out of TCP", error.TimeoutError, "no answer in time"),
    ("cancelled", defer.CancelledError, "no answer in time"),
    ("wrapped", lambda: ResponseFailed([LOST]), "the peer ended the connection"),
    (
        "cancelled within",
        lambda: ResponseFailed([CANCELLED, LOST]),
        "no answer in time",
    ),
    (
        "wrapped twice",
        lambda: ResponseFailed([Failure(ResponseFailed([LOST]))]),
        "the peer ended the connection",
    ),
    (
        "refused",
        lambda: error.ConnectionRefusedError("x"),
        "Connection was refused by other side: x.",
    ),
    ("in its own words", lambda: ValueError("why"), "why"),
    ("without words", ZeroDivisionError, "ZeroDivisionError"),
    ("nonsense", lambda: GARBAGE, "it is not HTTP: '220 ESMTP \\x1b[31m'"),
    ("control characters", lambda: ValueError("\x1b[31m\n"), "'\\x1b[31m\\n'"),
]


@cases("problem words", DESCRIPTIONS)
def test_describe(problem: Callable[[], Exception], words: str) -> None:
    """What happened is told in words that a person can use."""
    assert describe(problem()) == words


def test_description_is_bounded() -> None:
    """A peer's nonsense is told in part."""
    described = describe(ParseError("wrong number of parts", b"\0" * 16384))
    assert len(described) <= 200

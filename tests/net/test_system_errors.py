"""Errors of the operating system, as they are told."""

import pytest
from twisted.internet import error

from homeserver.net.system_errors import in_words

IN_USE = OSError(98, "Address already in use")

ROWS: list[tuple[BaseException, str]] = [
    (IN_USE, "Address already in use"),
    (
        FileNotFoundError(2, "No such file or directory", "/x"),
        "No such file or directory",
    ),
    (error.CannotListenError("127.0.0.1", 1, IN_USE), "Address already in use"),
    (error.ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
    (error.ConnectError(113, "No route to host"), "No route to host"),
    (error.ConnectionRefusedError(), "Connection was refused by other side."),
    (error.ConnectionRefusedError(111), "Connection was refused by other side: 111."),
    (OSError("in its own words"), "in its own words"),
    (ValueError("odd"), "odd"),
    (EOFError(), "EOFError"),
    (error.InvalidAddressError("foo", "not an address"), "foo: not an address"),
]


@pytest.mark.parametrize(("problem", "words"), ROWS, ids=repr)
def test_words(problem: BaseException, words: str) -> None:
    """The system's own words, without the number of the error."""
    assert in_words(problem) == words

"""What an error tells: a status, an errcode, and never the peer's raw text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol import errors
from tests.support.tables import cases

# Server-server API, "Errors"; the errcodes of X-Matrix are those that servers send.
STATUSES: list[tuple[type[errors.ProtocolError], int, str]] = [
    (errors.ProtocolError, 400, "M_UNKNOWN"),
    (errors.NotJson, 400, "M_NOT_JSON"),
    (errors.BadJson, 400, "M_BAD_JSON"),
    (errors.MissingParam, 400, "M_MISSING_PARAM"),
    (errors.InvalidParam, 400, "M_INVALID_PARAM"),
    (errors.IncompatibleRoomVersion, 400, "M_INCOMPATIBLE_ROOM_VERSION"),
    (errors.BadAuthorization, 400, "M_UNAUTHORIZED"),
    (errors.Unauthorized, 401, "M_UNAUTHORIZED"),
    (errors.UnknownToken, 401, "M_UNKNOWN_TOKEN"),
    (errors.Forbidden, 403, "M_FORBIDDEN"),
    (errors.NotFound, 404, "M_NOT_FOUND"),
    (errors.Unrecognized, 404, "M_UNRECOGNIZED"),
    (errors.MethodNotAllowed, 405, "M_UNRECOGNIZED"),
    (errors.RequestTimeout, 408, "M_UNKNOWN"),
    (errors.TooLarge, 413, "M_TOO_LARGE"),
    (errors.NoServerHelps, 502, "M_UNKNOWN"),
    (errors.LimitExceeded, 429, "M_LIMIT_EXCEEDED"),
]


@pytest.mark.parametrize(("error", "status", "errcode"), STATUSES)
def test_status_and_errcode(
    error: type[errors.ProtocolError], status: int, errcode: str
) -> None:
    """Each kind of error has the status and the errcode of the specification."""
    assert (error.status, error.errcode) == (status, errcode)


def test_table_is_complete() -> None:
    """No kind of error is without a line in the table above."""
    kinds = {errors.ProtocolError, *errors.ProtocolError.__subclasses__()}
    here = {kind for kind in kinds if kind.__module__ == errors.__name__}
    assert here == {error for error, _, _ in STATUSES}


def test_room_version_of_an_error() -> None:
    """A server that does not know the version of a room is told the version."""
    problem = errors.IncompatibleRoomVersion("it has version 12", "12")
    assert problem.members == {"room_version": "12"}


def test_message_is_the_text_of_the_error() -> None:
    """The text of an error is the sentence it was raised with, and no more."""
    assert str(errors.BadJson("`pdus` is not a list")) == "`pdus` is not a list"


def test_what_a_client_may_do_then() -> None:
    """The methods of a path, and the seconds until a retry, go with the error."""
    assert errors.MethodNotAllowed("not with PUT", ["GET"]).allowed == ["GET"]
    assert errors.LimitExceeded("too many requests", 5).retry_after == 5


def test_explanations() -> None:
    """What peers may not read stays apart, however explanations are put together."""
    first = errors.ProtocolError("no keys", "no keys: 10.0.0.1 refuses").explanation
    second = errors.Explanation.plain("the pin differs")
    assert first.after("v2: ") == errors.Explanation(
        "v2: no keys", "v2: no keys: 10.0.0.1 refuses"
    )
    assert first.then(second) == errors.Explanation(
        "no keys; the pin differs", "no keys: 10.0.0.1 refuses; the pin differs"
    )


QUOTED: list[tuple[str, object, str]] = [
    ("text", "a.org", "'a.org'"),
    ("bytes", b"a.org", "'a.org'"),
    ("bytes beyond ASCII", b"\xff\n", r"'\xff\n'"),
    ("nothing", None, "null"),
    ("number", 5, "5"),
    ("list", ["ed25519:1"], '["ed25519:1"]'),
    ("object", {"a": [True, 1.5]}, '{"a": [true, 1.5]}'),
    ("control character in a list", ["\x7f\x1b"], r'["\u007f\u001b"]'),
    ("not JSON", {1}, '"{1}"'),
    ("line break", "a\nb", r"'a\nb'"),
    ("terminal escape", "\x1b[31m", r"'\x1b[31m'"),
    ("lone surrogate", "\ud800", r"'\ud800'"),
    ("78 characters", "a" * 78, f"'{'a' * 78}'"),
    ("79 characters", "a" * 79, f"'{'a' * 76}..."),
    ("a megabyte", "a" * 1_000_000, f"'{'a' * 76}..."),
]


@cases("value expected", QUOTED)
def test_quote(value: object, expected: str) -> None:
    """A quoted value is escaped, and is shortened beyond 80 characters."""
    assert errors.quote(value) == expected


@given(
    st.text(st.characters())
    | st.text(st.characters(), min_size=70, max_size=120)
    | st.binary(max_size=120)
    | st.lists(st.text(st.characters()))
)
def test_quote_is_short_and_printable(value: object) -> None:
    """Whatever the peer sent, its quotation fits on a line and needs no escaping."""
    quoted = errors.quote(value)
    assert len(quoted) <= 80
    assert quoted.isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", "a b"),
        ("a\nb", r"a\nb"),
        ("\x1b[31mé", r"\x1b[31mé"),
        ("'\x7f", r"'\x7f"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """Each unprintable character is escaped, and nothing else."""
    assert errors.printable(text) == expected


LISTED: list[tuple[str, list[str], str]] = [
    ("none", [], "none"),
    ("one", ["ed25519:1"], "ed25519:1"),
    ("in order", ["b", "a"], "a, b"),
    ("as many as are shown", [*"edcba"], "a, b, c, d, e"),
    ("one more", [*"fedcba"], "a, b, c, d, e, 1 more"),
    ("a line break", ["a\nb"], r"'a\nb'"),
    ("the longest key ID", ["ed25519:" + "a" * 100], "ed25519:" + "a" * 100),
    ("longer than that", ["a" * 109], f"'{'a' * 76}..."),
]


@cases("names expected", LISTED)
def test_listed(names: list[str], expected: str) -> None:
    """Names are listed in order, a few of them, each safe to show."""
    assert errors.listed(names) == expected

"""The paths of requests, as servers of every year take them."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.outbound.targets import federation_target, transaction_target

# (steps of the path, what is sent)
TARGETS: list[tuple[tuple[str, ...], str]] = [
    (("send", "1-2"), "send/1-2"),
    (("state", "!room:a.test"), "state/!room:a.test"),
    (("make_join", "!r:a.test", "@u:b.test"), "make_join/!r:a.test/@u:b.test"),
    (("event", "$e:a.test"), "event/$e:a.test"),
    (("event", "$a/b+c=d"), "event/$a%2Fb%2Bc%3Dd"),
    (("query", "a b"), "query/a%20b"),
    (("x", "?#%&;,'()*"), "x/%3F%23%25%26%3B%2C%27%28%29%2A"),
    (("x", "é\n"), "x/%C3%A9%0A"),
    (("x", "[::1]"), "x/%5B::1%5D"),
    (("x", "-._~"), "x/-._~"),
]


@pytest.mark.parametrize(("steps", "path"), TARGETS)
def test_characters(steps: tuple[str, ...], path: str) -> None:
    """What Matrix IDs begin with and consist of stays, and the rest is escaped."""
    target = f"/_matrix/federation/v1/{path}"
    assert federation_target(*steps) == target
    assert federation_target(*steps, slash=True) == f"{target}/"


def test_transaction() -> None:
    """A transaction is put at its ID, with a slash after it or without."""
    assert transaction_target("a/b") == "/_matrix/federation/v1/send/a%2Fb"
    assert transaction_target("1", slash=True) == "/_matrix/federation/v1/send/1/"


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_steps_are_segments(step: str) -> None:
    """Whatever a step is, it is one segment, and is read as what it was."""
    _, _, _, _, kind, segment = federation_target("x", step).split("/")
    assert (kind, unquote(segment)) == ("x", step)

"""Server ACLs allow what they say, and deny all else."""

import json
import re
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.server_acl import is_allowed, matches, may_take_part
from tests.protocol.rooms.room import ALICE, Room

_VECTORS = Path(__file__).parents[2] / "vectors" / "rooms" / "acl.json"
CASES: list[dict[str, Any]] = json.loads(_VECTORS.read_text("utf-8"))["cases"]


def test_all_are_there() -> None:
    """There are 32 vectors."""
    assert len(CASES) == 32


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{n} {case['why']}" for n, case in enumerate(CASES)]
)
def test_vector(case: dict[str, Any]) -> None:
    """A server is allowed or denied, as the vector says."""
    server_name = ServerName.parse(case["server"])
    assert is_allowed(case["acl"], server_name) is case["allowed"]


def test_the_state_decides() -> None:
    """A room without an ACL takes each server; one that has one goes by it."""
    room = Room("12")
    bad, good = ServerName.parse("bad.example"), ServerName.parse("good.example")
    assert may_take_part(room.state, bad)
    acl: dict[str, object] = {"allow": ["*"], "deny": ["bad.example"]}
    room.set("m.room.server_acl", ALICE, acl, "other")
    assert may_take_part(room.state, bad)
    room.set("m.room.server_acl", ALICE, acl)
    assert not may_take_part(room.state, bad)
    assert may_take_part(room.state, good)


def test_entries_of_another_shape() -> None:
    """What is not a string is passed over, and what follows it counts."""
    acl: dict[str, object] = {"allow": [5, None, ["*"], "a.example"]}
    assert is_allowed(acl, ServerName.parse("a.example"))
    assert not is_allowed(acl, ServerName.parse("b.example"))


def test_a_port_of_other_digits() -> None:
    """A port is left out as it is written."""
    acl: dict[str, object] = {"allow": ["*"], "deny": ["a.example", "[::1]"]}
    assert not is_allowed(acl, ServerName.parse("a.example:08448"))
    assert not is_allowed(acl, ServerName.parse("[::1]:08448"))


@given(pattern=st.text("ab*?.[", max_size=8), name=st.text("ab.[", max_size=8))
def test_matches_as_a_regular_expression_does(pattern: str, name: str) -> None:
    """A pattern matches what the regular expression of its meaning matches."""
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(c, re.escape(c)) for c in pattern)
    assert matches(pattern, name) is (re.fullmatch(expression, name) is not None)


@pytest.mark.parametrize(
    ("pattern", "name", "does"),
    [
        ("*", "", True),
        ("**", "a", True),
        ("a*b", "ab", True),
        ("aa*ab", "aab", False),
        ("a*b*c", "a.b.c", True),
        ("a*b*c", "abc", True),
        ("a*b*c", "ac", False),
        ("a*bc*c", "abc", False),
        ("*a?c*", "xxabcxx", True),
        ("*a?c*", "xxacxx", False),
        ("?", "", False),
        ("a?", "a", False),
        ("a*?b", "ab", False),
        ("a*?b", "acb", True),
        ("*ab*ab*", "ab", False),
        ("*ab*ab*", "abab", True),
    ],
)
def test_matches(pattern: str, name: str, *, does: bool) -> None:
    """A star takes any run, a question mark one character; the whole must match."""
    assert matches(pattern, name) is does


def test_cost_of_question_marks() -> None:
    """An ACL full of them costs no more than one without: each part is sought once."""
    name = ServerName.parse(".".join(["a" * 60] * 4))

    def cost(pattern: str) -> float:
        acl: dict[str, object] = {"deny": [pattern] * 500, "allow": ["*"]}
        before = process_time()
        assert is_allowed(acl, name)
        return process_time() - before

    stars = min(cost("*?b" * 40 + "*") for _ in range(3))
    marks = min(cost("*" + "?" * 119 + "b*") for _ in range(3))
    assert marks < 10 * stars


def test_many_stars_end_soon() -> None:
    """What a backtracking matcher would take ages for is denied at once."""
    assert not matches("*a" * 100 + "b*", "a" * 250)
    assert not matches("*?a" * 60 + "?b*", "a" * 250)

"""JSON in other bytes means the same."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.lab.faults.json_variants import escape, reorder, space_out

VARIANTS = [escape, reorder, space_out]

TEXT = st.text(st.characters(exclude_categories=["Cs"]))

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inside: st.lists(inside) | st.dictionaries(TEXT, inside),
    max_leaves=10,
)


@given(value=VALUES, variants=st.permutations(VARIANTS), ascii_alone=st.booleans())
def test_the_meaning_stays(
    value: object, variants: list[Callable[[bytes], bytes]], *, ascii_alone: bool
) -> None:
    """In any order of the variants."""
    body = json.dumps(value, ensure_ascii=ascii_alone).encode("utf-8")
    for each in variants:
        body = each(body)
        assert json.loads(body) == value


def test_the_bytes_are_others() -> None:
    """Each changes what it says it does."""
    body = b'{"a":["b,:"],"c":1}'
    assert reorder(body) == b'{"c":1,"a":["b,:"]}'
    assert escape(body) == rb'{"\u0061":["\u0062\u002c\u003a"],"\u0063":1}'
    spaced = space_out(b'{"a":"b,"}')
    assert spaced == b' \r\n\t { "a"\r\n\t : "b,"\r\n\t } \n'


@pytest.mark.parametrize("body", [b"", b'{"a":', b"\x1f\x8b\x00", b"<html>"])
def test_what_is_no_json_stays(body: bytes) -> None:
    """It is not changed, and nothing is raised."""
    for each in VARIANTS:
        assert each(body) == body

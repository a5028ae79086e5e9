"""JSON values as structs: what is wrong is named in plain words, with its place."""

from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from homeserver.protocol.errors import BadJson
from homeserver.protocol.shapes import did_you_mean, explain, read


class Inner(Struct, frozen=True):
    """An object in another one."""

    ids: list[str] = []
    number: Annotated[int, Meta(ge=1)] = 1
    ratio: Annotated[float, Meta(gt=0, lt=9)] = 1.0


class Outer(Struct, frozen=True):
    """What is read."""

    name: str
    inner: Inner | None = None
    several: Annotated[list[Inner], Meta(description="Some.")] = []
    listen: Literal["own", "shared"] = "own"
    anything: list[object] = []
    short: Annotated[str, Meta(max_length=3)] = ""
    form: Annotated[str, Meta(pattern="^a*$")] = ""
    told: Annotated[str, Meta(pattern="^a*$", description="Letters a.")] = ""
    loud: Annotated[str, Meta(pattern="^A*$", description="ASCII, all A.")] = ""
    objects: dict[str, Inner] = {}
    some: Annotated[tuple[int, ...], Meta(min_length=1)] = (1,)
    map_: dict[str, int] = msgspec.field(name="map", default_factory=dict)


def test_read() -> None:
    """What has the right members becomes a struct, with its defaults."""
    inner = {"ids": ["i"]}
    value = {"name": "n", "inner": inner, "several": [{"number": 8}], "listen": "own"}
    value |= {"told": "aa", "objects": {"o": inner}}
    assert read(Outer, value) == Outer(
        "n",
        inner=Inner(ids=["i"]),
        several=[Inner(number=8)],
        told="aa",
        objects={"o": Inner(ids=["i"])},
    )
    assert read(Outer, {"name": "n", "inner": None}) == Outer("n")


KNOWN = (
    "anything, form, inner, listen, loud, map, name, objects, several, short, some, "
)
KNOWN += "told"

MISTAKES: list[tuple[object, str]] = [
    ([], "the body is not an object, but a list"),
    ({}, "the body lacks `name`"),
    ({"name": 1}, "`name` is not a string, but an integer"),
    ({"name": None}, "`name` is not a string, but null"),
    ({"name": "", "x": 1}, f"the body has no member 'x'; known are {KNOWN}"),
    (
        {"nam": ""},
        f"the body has no member 'nam'; known are {KNOWN}; did you mean 'name'?",
    ),
    (
        {"name": "", "inner": {"id": 1}},
        "`inner` has no member 'id'; known are ids, number, ratio; did you mean 'ids'?",
    ),
    (
        {"name": "", "several": [{}, {"Ids": 1}]},
        "`several[1]` has no member 'Ids'; known are ids, number, ratio; did you mean",
    ),
    ({"name": "", "inner": 1}, "`inner` is not an object or null, but an integer"),
    ({"name": "", "inner": {"ids": [1]}}, "`inner.ids[0]` is not a string, but an"),
    ({"name": "", "inner": {"number": 0}}, "`inner.number` is less than 1"),
    ({"name": "", "inner": {"ratio": 9}}, "`inner.ratio` is not less than 9"),
    ({"name": "", "inner": {"number": 1.5}}, "`inner.number` is not an integer, but a"),
    ({"name": "", "inner": {"number": True}}, "`inner.number` is not an integer, but"),
    ({"name": "", "anything": {}}, "`anything` is not a list, but an object"),
    (
        {"name": "", "listen": "OWN"},
        "`listen` is 'OWN', which is none of 'own', 'shared'; did you mean 'own'?",
    ),
    ({"name": "", "listen": 1}, "`listen` is not a string, but an integer"),
    ({"name": "", "short": "1234"}, "`short` has more than 3 characters"),
    ({"name": "", "form": "b"}, "`form` has not the right form"),
    ({"name": "", "told": "b"}, "`told` is 'b', which is not letters a"),
    ({"name": "", "loud": "b"}, "`loud` is 'b', which is not ASCII, all A"),
    ({"name": "", "told": 1}, "`told` is not a string, but an integer"),
    (
        {"name": "", "objects": {"a.b": {"id": 1}}},
        "`objects['a.b']` has no member 'id'; known are ids, number, ratio; did you",
    ),
    ({"name": "", "some": []}, "`some` has less than 1 item"),
    ({"name": "", "map": {"k": ""}}, "`map[...]` is not an integer, but a string"),
]


@pytest.mark.parametrize(("value", "message"), MISTAKES)
def test_mistake(value: object, message: str) -> None:
    """A mistake is named with its place, what is allowed and what is there."""
    with pytest.raises(BadJson) as caught:
        read(Outer, value)
    assert str(caught.value).startswith(message)


def test_name_of_the_outermost() -> None:
    """The outermost object is called as the caller says."""
    with pytest.raises(BadJson, match=r"^the rule has no member 'x'; known are"):
        read(Inner, {"x": 1}, "the rule")


def test_words_that_are_not_known() -> None:
    """A message of another kind is shown as it is."""
    assert explain(msgspec.ValidationError("Too odd"), "`x`") == "`x`: too odd"
    pattern = msgspec.ValidationError("Expected `str` matching regex 'a'")
    assert explain(pattern, "`x`") == "`x` has not the right form"
    assert explain(msgspec.ValidationError("Odd - at `$[2]`"), "x") == "`[2]`: odd"


ALIKE: list[tuple[str, str | None]] = [
    ("server-name", "server_name"),
    ("ServerName", "server_name"),
    ("servername", "server_name"),
    ("SERVER_NAME", "server_name"),
    ("lsten", "listen"),
    ("", None),
    ("frobnicate", None),
    ("x" * 10_000, None),
]


@pytest.mark.parametrize(("word", "meant"), ALIKE)
def test_did_you_mean(word: str, meant: str | None) -> None:
    """A name that resembles a known one leads to it, and no other does."""
    found = did_you_mean(word, ["server_name", "listen"])
    assert found == ("" if meant is None else f"; did you mean {meant!r}?")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "inner", "several", "ids", "number", "map", "x"]),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON)
def test_any_json(value: object) -> None:
    """Any JSON is read or refused; nothing else is raised."""
    try:
        read(Outer, value)
    except BadJson as problem:
        assert str(problem)

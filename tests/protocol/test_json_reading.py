"""JSON read strictly: what is no JSON, or has a member twice, is refused.

Rules: nothing but a ProtocolError is raised; a value of another type than is needed
is refused by the name of its member.
"""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import (
    as_integer,
    as_list,
    as_object,
    as_text,
    encode,
    parse,
    parse_object,
)
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError
from tests.support.json_trees import TREES, Tree, written
from tests.support.tables import cases

NOT_JSON: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("blank", b" "),
    ("two texts", b"{} {}"),
    ("trailing letter", b"{}x"),
    ("trailing NUL", b"{}\0"),
    ("byte order mark", b"\xef\xbb\xbf{}"),
    ("UTF-16", "{}".encode("utf-16-le")),
    ("not closed", b'{"a":1'),
    ("string not closed", b'"a'),
    ("comma at the end of an object", b'{"a":1,}'),
    ("comma at the end of a list", b"[1,]"),
    ("key without quotes", b"{a:1}"),
    ("key in single quotes", b"{'a':1}"),
    ("key is a number", b"{1:1}"),
    ("comment", b"/* */ {}"),
    ("NaN", b"NaN"),
    ("NaN inside", b'{"a":NaN}'),
    ("infinity", b"Infinity"),
    ("minus infinity", b"-Infinity"),
    ("float beyond a double", b"1e400"),
    ("leading zero", b"01"),
    ("plus", b"+1"),
    ("no digit before the point", b".5"),
    ("no digit after the point", b"1."),
    ("hexadecimal", b"0x10"),
    ("half a word", b"tru"),
    ("word of another language", b"None"),
    ("raw line break in a string", b'"\n"'),
    ("raw NUL in a string", b'"\0"'),
    ("unknown escape", rb'"\x41"'),
    ("escape of two digits", rb'"\u41"'),
    ("lone high surrogate", rb'"\ud800"'),
    ("lone high surrogate in text", rb'{"a":"\ud83d and more text"}'),
    ("lone low surrogate", rb'"\udc00"'),
    ("surrogates in the wrong order", rb'"\udc00\ud800"'),
    ("two high surrogates", rb'"\ud800\ud800"'),
    ("lone surrogate in a key", rb'{"\ud800":1}'),
    ("invalid UTF-8", b'"\xff"'),
    ("invalid UTF-8 in a key", b'{"\xff":1}'),
    ("truncated UTF-8", b'"\xe2\x80"'),
    ("overlong UTF-8", b'"\xc0\x80"'),
    ("surrogate in UTF-8", b'"\xed\xa0\x80"'),
    ("beyond Unicode in UTF-8", b'"\xf4\x90\x80\x80"'),
]


@cases("data", NOT_JSON)
def test_not_json(data: bytes) -> None:
    """Bytes that are not one JSON text in UTF-8 are refused as such."""
    with pytest.raises(NotJson, match=r"^not JSON: "):
        parse(data)


TWICE: list[tuple[str, str]] = [
    ("plainly", '{"a":1,"a":1}'),
    ("apart", '{"a":1,"b":2,"a":3}'),
    ("written differently", r'{"a":1,"\u0061":2}'),
    ("empty key", '{"":1,"":2}'),
    ("inside a list", '[{"a":1,"a":1}]'),
    ("inside an object", '{"b":{"a":1,"a":1}}'),
    ("inside what is replaced", '{"a":{"b":1},"a":{}}'),
    ("after a colon in a string", '{"a":":","a":":"}'),
    ("after an escaped quote", r'{"a":"\":","a":"\\"}'),
    ("key is a colon", '{":":1,":":2}'),
    ("beside a colon as an escape", r'{"a":1,"a":"\u003a"}'),
    ("beside one in capitals", r'{"a":1,"a":"\u003A"}'),
    ("after backslashes", r'{"a":"\\\\","a":"\\"}'),
]


@cases("text", TWICE)
def test_member_twice(text: str) -> None:
    """An object that has a member twice, however it is written, is refused."""
    with pytest.raises(BadJson, match="a member occurs twice"):
        parse(text.encode())


ONCE: list[tuple[str, str, object]] = [
    ("same key in two objects", '[{"a":1},{"a":1}]', [{"a": 1}, {"a": 1}]),
    ("same key inside", '{"a":{"a":1}}', {"a": {"a": 1}}),
    ("colon in a value", '{"a":":"}', {"a": ":"}),
    ("colon in a key", '{"a:":1}', {"a:": 1}),
    ("escaped quote and colon", r'{"a":"\":"}', {"a": '":'}),
    ("escaped quote in a key", r'{"\":":1,"\"":2}', {'":': 1, '"': 2}),
    ("escaped backslash at the end", r'{"a\\":"\\","b":":"}', {"a\\": "\\", "b": ":"}),
    ("backslash, quote, backslash", r'["\\\":\\",":"]', ['\\":\\', ":"]),
    ("string that looks like members", r'["\"a\":1,\"a\":1"]', ['"a":1,"a":1']),
    ("escaped colon", r'{"\u003a":"\u003a"}', {":": ":"}),
    ("blanks about the colon", '{"a" \n:\t1}', {"a": 1}),
]


@cases("text expected", ONCE)
def test_member_once(text: str, expected: object) -> None:
    """No string, whatever is in it, is taken for a member that stands twice."""
    assert parse(text.encode()) == expected


ENVELOPE_NUMBERS: list[tuple[bytes, object]] = [
    (b"9007199254740992", 2**53),
    (b"-9007199254740992", -(2**53)),
    (b"18446744073709551615", 2**64 - 1),
    (b"-9223372036854775808", -(2**63)),
    (b"1.5", 1.5),
    (b"1e10", 1e10),
]


@pytest.mark.parametrize(("data", "expected"), ENVELOPE_NUMBERS)
def test_number_of_an_envelope(data: bytes, expected: object) -> None:
    """A number that only canonical JSON forbids is read, with the type it has."""
    value = parse(data)
    assert value == expected
    assert type(value) is type(expected)


def test_parse_object() -> None:
    """A body that is a JSON object is read as one."""
    assert parse_object(b'{"a":1}') == {"a": 1}


@pytest.mark.parametrize("data", [b"[]", b"null", b'"{}"', b"1", b"true"])
def test_parse_object_of_another_type(data: bytes) -> None:
    """A body that is other JSON than an object is refused."""
    with pytest.raises(BadJson, match=r"^the body is not a JSON object$"):
        parse_object(data)


Cast = Callable[[object, str], object]

TYPED: list[tuple[Cast, object]] = [
    (as_object, {"a": 1}),
    (as_text, "a"),
    (as_text, ""),
    (as_integer, 0),
    (as_integer, 2**60),
    (as_list, [1]),
]


@pytest.mark.parametrize(("cast", "value"), TYPED)
def test_value_of_the_type(cast: Cast, value: object) -> None:
    """A value of the type that is needed comes back as it is."""
    assert cast(value, "`a`") is value


UNTYPED: list[tuple[Cast, object, str]] = [
    (as_object, [], "`a` is not a JSON object"),
    (as_object, None, "`a` is not a JSON object"),
    (as_text, 1, "`a` is not a string"),
    (as_text, None, "`a` is not a string"),
    (as_text, ["a"], "`a` is not a string"),
    (as_integer, "1", "`a` is not an integer"),
    (as_integer, 1.0, "`a` is not an integer"),
    (as_integer, True, "`a` is not an integer"),
    (as_integer, None, "`a` is not an integer"),
    (as_list, {}, "`a` is not a list"),
    (as_list, "a", "`a` is not a list"),
]


@pytest.mark.parametrize(("cast", "value", "message"), UNTYPED)
def test_value_of_another_type(cast: Cast, value: object, message: str) -> None:
    """A value of another type is refused, and the refusal names the member."""
    with pytest.raises(BadJson, match=f"^{re.escape(message)}$"):
        cast(value, "`a`")


def has_member_twice(tree: Tree) -> bool:
    """Whether an object of the tree has a member twice."""
    if isinstance(tree, str):
        return False
    if isinstance(tree, list):
        return any(map(has_member_twice, tree))
    keys = [key for key, _ in tree]
    return len(set(keys)) < len(keys) or any(has_member_twice(v) for _, v in tree)


@given(TREES)
def test_member_twice_is_found_wherever_it_is(tree: Tree) -> None:
    """JSON is refused if a member occurs twice in it, and only then."""
    data = written(tree).encode()
    try:
        value = parse(data)
    except BadJson:
        assert has_member_twice(tree)
    else:
        assert not has_member_twice(tree)
        assert value == json.loads(data)


FRAGMENTS = [
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b" ", b"\0"),
    *(b'"a"', b'"a":', b"1", b"-", b".5", b"e9", b"null", b"NaN"),
    *(b"\\u", b"d800", b"dc00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
]


@given(st.binary() | st.lists(st.sampled_from(FRAGMENTS)).map(b"".join))
@example(b'"' + b"\\ud800" + b'"')
def test_nothing_but_a_protocol_error_is_raised(data: bytes) -> None:
    """Any bytes are refused as the peer's fault, or are a value that can be signed."""
    try:
        value = parse(data)
    except ProtocolError:
        return
    assert parse(encode(value)) == value


@given(st.lists(st.sampled_from(["d800", "dbff", "dc00", "dfff", "0041"])))
def test_no_escape_makes_a_lone_surrogate(escapes: list[str]) -> None:
    """A string is read if its surrogates pair up, and then holds none alone."""
    data = '"{}"'.format("".join(f"\\u{digits}" for digits in escapes)).encode()
    expected = json.loads(data)
    try:
        value = parse(data)
    except NotJson:
        assert re.search("[\ud800-\udfff]", expected)
    else:
        assert value == expected
        assert not re.search("[\ud800-\udfff]", expected)

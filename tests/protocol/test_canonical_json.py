"""JSON read strictly and written canonically, held against two other libraries."""

import json
import re
from collections.abc import Callable

import canonicaljson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import (
    MAX_INTEGER,
    MAX_NESTING,
    as_integer,
    as_list,
    as_object,
    as_text,
    check_numbers,
    check_size_of_json,
    decode_base64,
    encode,
    encode_base64,
    encode_integers,
    encode_urlsafe_base64,
    parse,
    parse_object,
    split,
)
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError, TooLarge
from tests.support.tables import cases

# Appendices, "Canonical JSON", examples; the last two are ours: the order of keys
# is that of code points (not of UTF-16), and few characters are escaped.
VECTORS: list[tuple[str, str, str]] = [
    ("empty", "{}", "{}"),
    ("blanks", '{\n  "one": 1,\n  "two": "Two"\n}', '{"one":1,"two":"Two"}'),
    ("order", '{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'),
    (
        "nested",
        """{"auth": {"success": true, "mxid": "@john.doe:example.com",
            "profile": {"display_name": "John Doe", "three_pids": [
                {"medium": "email", "address": "john.doe@example.org"},
                {"medium": "msisdn", "address": "123456789"}]}}}""",
        (
            '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":'
            '"John Doe","three_pids":[{"address":"john.doe@example.org","medium":'
            '"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}'
        ),
    ),
    ("raw characters", '{"a": "日本語"}', '{"a":"日本語"}'),
    ("order of characters", '{"本": 2, "日": 1}', '{"日":1,"本":2}'),
    ("escaped character", r'{"a": "\u65E5"}', '{"a":"日"}'),
    ("null", '{"a": null}', '{"a":null}'),
    ("minus zero", '{"a": -0}', '{"a":0}'),
    (
        "order of code points",
        r'{"\ud800\udc00":1,"\uff00":2,"a":3,"A":4,"":5}',
        '{"":5,"A":4,"a":3,"\uff00":2,"\U00010000":1}',
    ),
    (
        "escapes",
        r'["\u0000\u0008\u0009\u000A\u000b\u000C\u000D\u001F\"\\\/\u007F\u2028"]',
        r'["\u0000\b\t\n\u000b\f\r\u001f\"\\/' + '\x7f\u2028"]',
    ),
]


@cases("text expected", VECTORS)
def test_vector(text: str, expected: str) -> None:
    """What the specification gives as an example is written as it says."""
    value = parse(text.encode())
    check_numbers(value)
    assert encode(value) == expected.encode()


def test_float_is_written_as_canonicaljson_does() -> None:
    """A float that an old room's event may have is written as its sender did.

    The specification's example has 10000000000 here, an integer. It speaks to those
    who write; who verifies must repeat the bytes that the sender's library signed,
    and a document that has to be canonical is refused for its float.
    """
    value = parse(b'{"a": -0, "b": 1e10}')
    assert encode(value) == b'{"a":0,"b":10000000000.0}'
    with pytest.raises(BadJson, match="no floats"):
        check_numbers(value)


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


def nested_lists(depth: int) -> bytes:
    """Lists in each other, so deep."""
    return b"[" * depth + b"]" * depth


def nested_objects(depth: int) -> bytes:
    """Objects in each other, so deep."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


NESTINGS: list[Callable[[int], bytes]] = [nested_lists, nested_objects]


@pytest.mark.parametrize("nested", NESTINGS)
def test_nesting_at_the_limit(nested: Callable[[int], bytes]) -> None:
    """JSON nested as deep as the limit is read, checked and written."""
    data = nested(MAX_NESTING)
    value = parse(data)
    check_numbers(value)
    assert encode(value) == data


@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 500, 1_000, 100_000])
@pytest.mark.parametrize("nested", NESTINGS)
def test_nesting_beyond_the_limit(nested: Callable[[int], bytes], depth: int) -> None:
    """JSON nested deeper is refused, also where Python itself gives up."""
    with pytest.raises(BadJson, match=r"^JSON nested more than 100 deep$"):
        parse(nested(depth))


def test_scalar_at_the_limit_is_no_nesting() -> None:
    """What the deepest list holds does not count as another level."""
    assert parse(b"[" * MAX_NESTING + b"1" + b"]" * MAX_NESTING)


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


@pytest.mark.parametrize("sign", [b"", b"-"])
@pytest.mark.parametrize("digits", [21, 40, 400, 5_000, 1_000_000])
def test_huge_integer(digits: int, sign: bytes) -> None:
    """An integer beyond 64 bits is refused, also beyond what Python converts."""
    with pytest.raises(ProtocolError, match=r"integer beyond 64 bits|out of range"):
        parse(b'{"a":[' + sign + b"1" * digits + b"]}")


@pytest.mark.parametrize("number", [2**64, -(2**64), 10**20 - 1])
def test_first_integers_beyond_64_bits(number: int) -> None:
    """One that has no more digits than the largest that is read is refused, too."""
    with pytest.raises(BadJson, match="integer beyond 64 bits"):
        parse(b"[%d]" % number)


CANONICAL_NUMBERS: list[object] = [
    0,
    MAX_INTEGER,
    -MAX_INTEGER,
    True,
    None,
    "1.5",
    {"a": [1, {"b": 2}]},
]


@pytest.mark.parametrize("value", CANONICAL_NUMBERS)
def test_canonical_number(value: object) -> None:
    """Integers that a double holds exactly, and what is no number, pass the check."""
    check_numbers(value)


FORBIDDEN_NUMBERS: list[tuple[object, str]] = [
    (1.5, "canonical JSON has no floats: 1.5"),
    (1.0, "canonical JSON has no floats: 1.0"),
    (-0.0, "canonical JSON has no floats: -0.0"),
    (float("nan"), "canonical JSON has no floats: nan"),
    (2**53, "canonical JSON has no integers beyond 2^53-1: 9007199254740992"),
    (-(2**53), "canonical JSON has no integers beyond 2^53-1: -9007199254740992"),
    ({"a": 0.5}, "canonical JSON has no floats: 0.5"),
    ([0, 0.5], "canonical JSON has no floats: 0.5"),
    ({"a": [{"b": [0, 0.5]}]}, "canonical JSON has no floats: 0.5"),
]


@pytest.mark.parametrize(("value", "message"), FORBIDDEN_NUMBERS)
def test_forbidden_number(value: object, message: str) -> None:
    """A float, or an integer beyond a double, is refused at any depth."""
    with pytest.raises(BadJson) as refusal:
        check_numbers(value)
    assert str(refusal.value) == message


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


BASE64: list[tuple[bytes, str]] = [
    (b"", ""),
    (b"f", "Zg"),
    (b"fo", "Zm8"),
    (b"foo", "Zm9v"),
    (b"foob", "Zm9vYg"),
    (b"fooba", "Zm9vYmE"),
    (b"foobar", "Zm9vYmFy"),
    (b"\xfb\xff", "+/8"),
]


@pytest.mark.parametrize(("data", "text"), BASE64)
def test_base64(data: bytes, text: str) -> None:
    """Base64 is written without padding, and read back."""
    assert encode_base64(data) == text
    assert decode_base64(text) == data


@pytest.mark.parametrize(("data", "text"), BASE64)
def test_padded_base64(data: bytes, text: str) -> None:
    """Base64 with its padding is read as well."""
    assert decode_base64(text + "=" * (-len(text) % 4)) == data


def test_urlsafe_base64() -> None:
    """The URL-safe alphabet has `-` and `_` for `+` and `/`, and no padding either."""
    assert encode_urlsafe_base64(b"\xfb\xff") == "-_8"


NO_BASE64: list[tuple[str, str]] = [
    ("one character", "Z"),
    ("five characters", "Zm9vY"),
    ("blank", "Zm 8"),
    ("line break", "Zm8\n"),
    ("URL-safe alphabet", "-_8"),
    ("padding before the end", "Zg==Zg"),
    ("padding first", "=Zg"),
    ("not ASCII", "Zm9\u0432"),
    ("fullwidth letter", "\uff3ag"),
    ("lone surrogate", "\ud800Zg"),
    ("NUL", "Zg\0"),
]


@cases("text", NO_BASE64)
def test_no_base64(text: str) -> None:
    """Text with any other character, or of an impossible length, is refused."""
    with pytest.raises(BadJson, match=r"^not base64: "):
        decode_base64(text)


@given(st.binary())
def test_base64_decodes_to_what_was_encoded(data: bytes) -> None:
    """Any bytes survive base64."""
    assert decode_base64(encode_base64(data)) == data


def json_values(numbers: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """JSON with the given numbers in it."""
    return st.recursive(
        st.none() | st.booleans() | st.text() | numbers,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )


ENVELOPE = json_values(
    st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
CANONICAL = json_values(st.integers(-MAX_INTEGER, MAX_INTEGER))


@given(CANONICAL | ENVELOPE)
@example({"\U00010000": 1, "\uffff": 2, "": 3})
@example("\x00\x08\x0b\x1f\x7f\x80\u2028\u2029\ufeff\ufffe")
def test_encode_equals_canonicaljson(value: object) -> None:
    """Every value is written as the reference implementation writes it."""
    assert encode(value) == canonicaljson.encode_canonical_json(value)


@given(CANONICAL | ENVELOPE)
def test_parse_undoes_encode(value: object) -> None:
    """A value that was written is read as the same value."""
    assert parse(encode(value)) == value


@given(st.lists(CANONICAL | ENVELOPE))
def test_what_was_split_is_written_as_it_was(items: list[object]) -> None:
    """Items of a list are the same bytes in another list, or in an object."""
    data = encode(items)
    parts = split(data)
    assert len(parts) == len(items)
    assert encode_integers(parts) == data
    assert encode_integers({"b": parts, "a": 1}) == b'{"a":1,"b":' + data + b"}"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"null", b"[", b"[{]", b'["a]', b"[1] 2", b"[" * 100_000]
)
def test_no_list_to_split(data: bytes) -> None:
    """What is no list, or is damaged, cannot be split."""
    with pytest.raises(NotJson):
        split(data)


@given(CANONICAL)
def test_canonical_value_passes_the_check(value: object) -> None:
    """No value that canonical JSON has is refused for its numbers."""
    check_numbers(value)


NOTATIONS = [
    json.JSONEncoder(),
    json.JSONEncoder(ensure_ascii=False, separators=(",", ":")),
    json.JSONEncoder(indent="\t", separators=(" ,", " :\r\n")),
    json.JSONEncoder(ensure_ascii=False, sort_keys=True, indent=3),
]


@given(CANONICAL | ENVELOPE, st.sampled_from(NOTATIONS))
def test_notation_does_not_matter(value: object, notation: json.JSONEncoder) -> None:
    """Escapes, blanks and order of the sender do not change what is signed."""
    assert encode(parse(notation.encode(value).encode())) == encode(value)


Tree = str | list["Tree"] | tuple[tuple[str, "Tree"], ...]
"""JSON as it is written: an object is the tuple of its members, twice or not."""

KEYS = st.text('a:"\\', max_size=2)
TREES: st.SearchStrategy[Tree] = st.recursive(
    KEYS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(KEYS, inner), max_size=3).map(tuple)
    ),
    max_leaves=10,
)


def written(tree: Tree) -> str:
    """The JSON text of a tree."""
    if isinstance(tree, str):
        return json.dumps(tree)
    if isinstance(tree, list):
        return "[" + ",".join(map(written, tree)) + "]"
    return "{" + ",".join(f"{json.dumps(k)}:{written(v)}" for k, v in tree) + "}"


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


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("[", "]"), ('{"a":', "}"), ('{"a":[', "]}"), ('[{"a":', "}]")],
    ids=["lists", "objects", "lists in objects", "objects in lists"],
)
def test_nesting_counts_lists_and_objects_alike(opening: str, closing: str) -> None:
    """A hundred levels pass, of whatever kind they are, and one more does not."""
    levels = opening.count("[") + opening.count("{")
    deepest = opening * (100 // levels) + "0" + closing * (100 // levels)
    parse(deepest.encode())
    with pytest.raises(BadJson, match="nested"):
        parse(f"[{deepest}]".encode())


# A text with `{}` for what is repeated, what that is, the values in each of those, and
# those around them.
COUNTED: list[tuple[str, bytes, bytes, int, int]] = [
    ("numbers", b"[%b 1]", b"1,", 1, 2),
    ("strings", b'[%b""]', b'"",', 1, 2),
    ("empty lists", b"[%b[]]", b"[],", 1, 2),
    ("empty objects with blanks", b"[%b{ \n}]", b"{ \t\r\n},", 1, 2),
    ("members", b'{%b"a":1}', b'"a":1,', 1, 2),
    ("lists of one", b"[%b[1]]", b'["a"],', 2, 3),
    ("objects of two", b"[%b{}]", b'{"a":{},"b":[]},', 3, 2),
]


@cases("text part values around", COUNTED)
def test_values_are_counted(text: bytes, part: bytes, values: int, around: int) -> None:
    """As many values as are allowed pass, and one more does not."""
    times = 600 // values
    data = text.replace(b"%b", part * times)
    count = times * values + around
    assert len(data) > count
    check_size_of_json(data, count)
    with pytest.raises(TooLarge, match=f"more than {count - 1} values"):
        check_size_of_json(data, count - 1)


def test_limits_of_values() -> None:
    """The body of a request has 200,000 values at most, any other text a million."""
    for most, check in (200_000, check_size_of_json), (1_000_000, parse):
        check(b"[" + b"0," * (most - 2) + b"0]")
        with pytest.raises(TooLarge, match=f"{most} values"):
            check(b"[" + b"0," * (most - 1) + b"0]")


def test_too_many_values_are_not_even_read() -> None:
    """A text of too many values is refused before it turns out to be no JSON."""
    with pytest.raises(TooLarge, match="200000 values"):
        check_size_of_json(b"[" + b"0," * 200_000)
    with pytest.raises(TooLarge, match="1000000 values"):
        parse(b"[" + b"0," * 1_000_000)


@given(CANONICAL, st.sampled_from(NOTATIONS))
def test_every_value_counts_once(value: object, notation: json.JSONEncoder) -> None:
    """The number of values is that of the value as it is read."""

    def count(value: object) -> int:
        if isinstance(value, dict):
            return 1 + sum(map(count, value.values()))
        if isinstance(value, list):
            return 1 + sum(map(count, value))
        return 1

    # Blanks do not count, and let the text be longer than it has values.
    data = notation.encode([value, *[0] * 9]).encode() + b" " * 9
    check_size_of_json(data, count(value) + 10)
    with pytest.raises(TooLarge):
        check_size_of_json(data, count(value) + 9)


def test_what_looks_like_many_values_in_a_string_is_one() -> None:
    """Commas, colons and brackets inside of strings count for nothing."""
    text = ",:[{" * 300_000
    check_size_of_json(f'["{text}"]'.encode())
    assert parse(f'["{text}"]'.encode()) == [text]

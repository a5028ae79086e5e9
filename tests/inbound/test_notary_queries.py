"""What is asked of a notary, in both forms; and what is no question."""

import json
from collections.abc import Sequence

import pytest

from homeserver.inbound.notary import MAX_SERVERS, Query, parse_queries, parse_query
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import (
    BadJson,
    InvalidParam,
    NotJson,
    ProtocolError,
    TooLarge,
)
from homeserver.protocol.identifiers import ServerName

A, B = map(ServerName.parse, ["a.example", "[::1]:8449"])


def asking(servers: object) -> bytes:
    """The body of a question about servers."""
    return json.dumps({"server_keys": servers}).encode()


def until(minimum: object) -> object:
    """The criteria of a key."""
    return {"minimum_valid_until_ts": minimum}


# (name, what is under `server_keys`, what is asked by it)
QUERIES: list[tuple[str, object, list[Query]]] = [
    ("nobody", {}, []),
    ("all keys", {"a.example": {}}, [Query(A, {})]),
    ("a key", {"a.example": {"k": {}}}, [Query(A, {"k": None})]),
    ("a key and a time", {"a.example": {"k": until(5)}}, [Query(A, {"k": 5})]),
    ("time 0", {"a.example": {"k": until(0)}}, [Query(A, {"k": 0})]),
    ("before 1970", {"a.example": {"k": until(-1)}}, [Query(A, {"k": -1})]),
    (
        "far away",
        {"a.example": {"k": until(2**63)}},
        [Query(A, {"k": 2**63})],
    ),
    ("other criteria", {"a.example": {"k": {"x": 1.5}}}, [Query(A, {"k": None})]),
    (
        "keys of any kind",
        {"a.example": {"": {}, "rsa:1": until(1), "\u65e5": {}}},
        [Query(A, {"": None, "rsa:1": 1, "\u65e5": None})],
    ),
    ("no name", {"": {}}, []),
    ("bad name", {"a_b.example": {"k": {}}}, []),
    ("bad name, bad keys", {"a_b.example": 5}, []),
    ("one bad name", {"a b": {}, "a.example": {}}, [Query(A, {})]),
    (
        "two servers",
        {"[::1]:8449": {"k": until(7)}, "a.example": {}},
        [Query(B, {"k": 7}), Query(A, {})],
    ),
]


@pytest.mark.parametrize(
    ("servers", "expected"), [row[1:] for row in QUERIES], ids=[r[0] for r in QUERIES]
)
def test_queries(servers: object, expected: list[Query]) -> None:
    """A question is read with all its servers, keys and times."""
    assert parse_queries(asking(servers)) == expected


# (name, body, error, part of what is said)
BAD_QUERIES: list[tuple[str, bytes, type[ProtocolError], str]] = [
    ("empty", b"", NotJson, "not JSON"),
    ("no JSON", b"server_keys", NotJson, "not JSON"),
    ("not UTF-8", b'{"server_keys":{"\xff":{}}}', NotJson, "not JSON"),
    ("list", b"[]", BadJson, "the body is not a JSON object"),
    ("nothing", b"{}", BadJson, "`server_keys` is missing"),
    ("null", asking(None), BadJson, "`server_keys` is not a JSON object"),
    ("list of servers", asking(["a.example"]), BadJson, "`server_keys` is not a JSON"),
    ("text", asking("a.example"), BadJson, "`server_keys` is not a JSON object"),
    (
        "server twice",
        b'{"server_keys":{"a.example":{},"a.example":{}}}',
        BadJson,
        "a member occurs twice",
    ),
    ("keys are null", asking({"a.example": None}), BadJson, "a server's keys is not"),
    ("list of keys", asking({"a.example": ["k"]}), BadJson, "a server's keys is not"),
    ("key is null", asking({"a.example": {"k": None}}), BadJson, "a key's criteria is"),
    ("key is a time", asking({"a.example": {"k": 5}}), BadJson, "a key's criteria is"),
    (
        "time is null",
        asking({"a.example": {"k": until(None)}}),
        BadJson,
        "`minimum_valid_until_ts` is not an integer",
    ),
    (
        "time is a text",
        asking({"a.example": {"k": until("5")}}),
        BadJson,
        "`minimum_valid_until_ts` is not an integer",
    ),
    (
        "time is a float",
        asking({"a.example": {"k": until(5.0)}}),
        BadJson,
        "`minimum_valid_until_ts` is not an integer",
    ),
    (
        "time is a boolean",
        asking({"a.example": {"k": until(True)}}),  # noqa: FBT003
        BadJson,
        "`minimum_valid_until_ts` is not an integer",
    ),
    (
        "time without end",
        asking({"a.example": {"k": until(10**30)}}),
        BadJson,
        "an integer beyond 64 bits",
    ),
    (
        "201 keys",
        asking({"a.example": {str(number): {} for number in range(201)}}),
        TooLarge,
        "more than 200 keys of a.example",
    ),
    (
        "101 servers",
        asking({f"{n}.example": {} for n in range(MAX_SERVERS + 1)}),
        TooLarge,
        "more than 100 servers",
    ),
    (
        "too many bytes",
        asking({"a.example": {"k" * (256 * 1024): {}}}),
        TooLarge,
        "larger than 262144 bytes",
    ),
    # Before anybody looks at what they say.
    (
        "too many bytes of nothing",
        b"x" * (256 * 1024 + 1),
        TooLarge,
        "larger than 262144",
    ),
]


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [row[1:] for row in BAD_QUERIES],
    ids=[row[0] for row in BAD_QUERIES],
)
def test_bad_queries(body: bytes, error: type[ProtocolError], said: str) -> None:
    """What is no question is refused, and it is said why."""
    with pytest.raises(error, match=said):
        parse_queries(body)


def test_the_largest_query() -> None:
    """A hundred servers, and as many bytes as there may be, are a question."""
    servers: Json = {f"{number}.example": {} for number in range(MAX_SERVERS)}
    assert len(parse_queries(asking(servers))) == MAX_SERVERS
    body = asking(servers)
    assert parse_queries(body + b" " * (256 * 1024 - len(body)))
    [query] = parse_queries(asking({"a.example": {f"{n}": {} for n in range(200)}}))
    assert len(query.key_ids) == 200


# (name, server, key ID, values of `minimum_valid_until_ts`, what is asked by it)
PATHS: list[tuple[str, bytes, bytes, Sequence[bytes], Query]] = [
    ("all keys", b"a.example", b"", [], Query(A, {})),
    ("all keys until", b"a.example", b"", [b"5"], Query(A, {}, 5)),
    ("a key", b"a.example", b"k", [], Query(A, {"k": None})),
    ("a key until", b"a.example", b"k", [b"5"], Query(A, {"k": 5}, 5)),
    ("time 0", b"a.example", b"", [b"0"], Query(A, {}, 0)),
    ("leading zeros", b"a.example", b"", [b"0005"], Query(A, {}, 5)),
    ("last time", b"a.example", b"", [b"9" * 16], Query(A, {}, 10**16 - 1)),
    ("an address", b"[::1]:8449", b"k", [], Query(B, {"k": None})),
    ("not ASCII", b"a.example", b"\xff", [], Query(A, {"\ufffd": None})),
]


@pytest.mark.parametrize(
    ("name", "key_id", "minimums", "expected"),
    [row[1:] for row in PATHS],
    ids=[row[0] for row in PATHS],
)
def test_query(
    name: bytes, key_id: bytes, minimums: Sequence[bytes], expected: Query
) -> None:
    """A path and its parameter are read as one question."""
    assert parse_query(name, key_id, minimums) == expected


# (name, server, values of `minimum_valid_until_ts`, part of what is said)
BAD_PATHS: list[tuple[str, bytes, Sequence[bytes], str]] = [
    ("no name", b"", [], "not a server name"),
    ("bad name", b"a_b.example", [], "not a server name"),
    ("name not ASCII", b"a\xff.example", [], "not a server name"),
    ("port alone", b":8448", [], "not a server name"),
    ("no time", b"a.example", [b""], "not a time in milliseconds"),
    ("word", b"a.example", [b"now"], "not a time in milliseconds"),
    ("negative", b"a.example", [b"-1"], "not a time in milliseconds"),
    ("sign", b"a.example", [b"+1"], "not a time in milliseconds"),
    ("float", b"a.example", [b"1.5"], "not a time in milliseconds"),
    ("blank", b"a.example", [b" 1"], "not a time in milliseconds"),
    ("underscore", b"a.example", [b"1_0"], "not a time in milliseconds"),
    ("other digits", b"a.example", ["\u0663".encode()], "not a time in milliseconds"),
    ("17 digits", b"a.example", [b"1" * 17], "not a time in milliseconds"),
    ("many digits", b"a.example", [b"1" * 10_000], "not a time in milliseconds"),
    ("two times", b"a.example", [b"1", b"1"], "not a time in milliseconds"),
]


@pytest.mark.parametrize(
    ("name", "minimums", "said"),
    [row[1:] for row in BAD_PATHS],
    ids=[row[0] for row in BAD_PATHS],
)
def test_bad_query(name: bytes, minimums: Sequence[bytes], said: str) -> None:
    """A path that names no server, or a parameter that is no time, is refused."""
    with pytest.raises(InvalidParam, match=said):
        parse_query(name, b"", minimums)

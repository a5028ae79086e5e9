"""What a caller of a lab may get wrong: it is named, and nothing is made."""

from typing import Any

import pytest

from homeserver.testing import Lab, LabError, Server

BAD_SERVER = "/v1/servers/bad.test"

NEW: list[tuple[Any, str]] = [
    ({"nam": "a"}, "did you mean 'name'?"),
    ({"name": "a b"}, "not a server name"),
    ({"name": ""}, "not a server name"),
    ({"rules": [{"do": {"http.x": 1}}]}, "http.x"),
    ({"name": "A.test"}, "`name`: 'A.test' has capitals"),
    ({"name": "a.test:0"}, "port 0 needs"),
    ({"name": "a.test", "count": 2}, "`name` is for one"),
    ({"count": 0}, "`count` is less than 1"),
    ({"count": 10001}, "`count` is more than 10000"),
    ({"listen": "both"}, "`listen` is 'both', which is"),
    ({"name": "192.0.2.1", "listen": "own"}, "`listen`: 192.0"),
    ({"keys": {"ids": ["x"]}}, "not a key ID"),
    ({"keys": {"ids": ["ed25519:a"] * 2}}, "each ID"),
    ({"tls": {"certificate": "expird"}}, "'expired'?"),
    ({"name": "a.test", "tls": {"certificate": "wildcard"}}, "three labels or more"),
    ({"well_known": {"m.server": "a b"}}, "not a server"),
]

REQUESTS: list[tuple[Any, str]] = [
    ({}, "lacks `destination`"),
    ({"destination": "a", "path": "x"}, "`path` is 'x', which is not a path: `/` and"),
    (
        {"destination": "a", "path": "/x", "method": "Get"},
        "`method` is 'Get', which is not a word in capitals",
    ),
    (
        {"destination": "a", "path": "/x", "query": "a b"},
        "`query` is 'a b', which is not ASCII without spaces",
    ),
    ({"destination": "a", "path": "/x", "headers": {"a b": "c"}}, "`headers`: 'a b'"),
    (
        {"destination": "a", "path": "/x", "headers": {"a": "b\r\nc: d"}},
        "`headers`: 'a' cannot be sent",
    ),
    (
        {"destination": "a", "path": "/x", "sign": {"omit": ["sig"]}},
        "`sign.omit` has 'sig', which is none of",
    ),
]

BAD: list[tuple[str, str, Any, int, str]] = [
    *(("POST", "/v1/servers", content, 400, why) for content, why in NEW),
    *(
        ("POST", f"{BAD_SERVER}/request", content, 400, why)
        for content, why in REQUESTS
    ),
    ("PATCH", BAD_SERVER, {"rules": [{"do": {"http.x": 1}}]}, 400, "http.x"),
    ("GET", "/v1/servers/none.test", None, 404, "there is no server 'none.test'"),
    ("PATCH", "/v1/servers/none.test", {}, 404, "there is no server"),
    ("DELETE", "/v1/servers/none.test", None, 404, "there is no server"),
    ("DELETE", "/v1/servers/none.test?gone=maybe", None, 400, "neither true nor"),
    ("PATCH", BAD_SERVER, {"expire": "ed25519:x"}, 400, "`expire` is"),
    ("PATCH", BAD_SERVER, {"name": "x"}, 400, "no member 'name'"),
]


def count(lab: Lab) -> int:
    """How many servers a lab has."""
    return len(lab.link.call("GET", "v1", "servers")["servers"])


@pytest.fixture(scope="module")
def bad(lab: Lab) -> Server:
    """A server that is asked for what cannot be."""
    return lab.server("bad.test")


@pytest.mark.parametrize("row", BAD, ids=[f"{row[0]} {row[4]}" for row in BAD])
def test_bad_input_is_named(
    lab: Lab, bad: Server, row: tuple[str, str, Any, int, str]
) -> None:
    """An error names the member and what is allowed, and nothing is made."""
    method, target, content, status, why = row
    before = count(lab)
    path, _, query = target.partition("?")
    arguments = dict(part.split("=") for part in query.split("&") if part)
    with pytest.raises(LabError) as raised:
        lab.link.call(
            method, *path.split("/")[1:], content=content, query=arguments, seconds=30
        )
    assert raised.value.status == status
    assert why in str(raised.value)
    assert count(lab) == before


def test_a_name_is_given_once(lab: Lab, bad: Server) -> None:
    """A second server of one name is refused with the way out."""
    with pytest.raises(LabError, match="already; delete it first"):
        lab.server(bad.name)


def test_all_servers_of_a_request_are_made_or_none(lab: Lab) -> None:
    """What fails for one leaves none of the others."""
    before = count(lab)
    with pytest.raises(LabError):
        lab.servers(3, dns=[{"name": "x.test", "type": "A", "value": "bad"}])
    assert count(lab) == before

"""Faults of answers, met by clients that others wrote."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import parse_v1, parse_v2
from homeserver.testing import Lab, Server
from tests.support.eventually import HANGING_SECONDS
from tests.support.foreign_clients import Client, Got, curl
from tests.support.lab_rules import VERSION, acted, asked, put

V1, V2 = "/_matrix/key/v1", "/_matrix/key/v2/server"
QUERY = "/_matrix/key/v2/query/{}"
WELL_KNOWN = "/.well-known/matrix/server"
HOP = f"{WELL_KNOWN}?hop="


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab for all tests: each has servers of its own."""
    with Lab() as running:
        running.servers(2)
        yield running


def ask(
    lab: Lab,
    client: Client,
    server: Server,
    path: str,
    seconds: float = HANGING_SECONDS,
) -> Got:
    """An unsigned request."""
    return client(asked(lab, server, path, Seconds=seconds))


Check = Callable[[Any, Any], bool]
"""Whether the JSON of a body is what it should be, beside that without the fault."""

Row = tuple[str, object, str, int, dict[str, str], Check | bytes]

JSON: Check = lambda got, right: got == right  # noqa: E731
KEY = "verify_keys"
HTML = {"content-type": "text/html"}
HTTP = f"http://{{}}{WELL_KNOWN}"

ANSWERS: list[Row] = [
    ("http.delay", 0.3, VERSION, 200, {}, JSON),
    ("http.delay-body", 0.3, VERSION, 200, {}, JSON),
    ("http.100-continue", True, VERSION, 200, {}, JSON),
    ("http.retry-after", 9, VERSION, 200, {"retry-after": "9"}, JSON),
    ("http.header", {"X-A": "b"}, VERSION, 200, {"x-a": "b"}, JSON),
    ("http.gzip", True, VERSION, 200, {"content-encoding": "gzip"}, b"\x1f\x8b"),
    ("http.wrong-type", True, VERSION, 200, HTML, JSON),
    ("http.bad-json", True, VERSION, 200, {}, b'"0.1.0"}$'),
    ("http.empty", True, VERSION, 200, {"content-length": "0"}, b"^$"),
    ("http.body", [1], VERSION, 200, {}, lambda got, _: bool(got == [1])),
    ("http.errcode", "M_X", VERSION, 400, {}, b'"errcode":"M_X"'),
    ("http.redirect", "/x", VERSION, 307, {"location": "/x"}, b"{}"),
    ("http.status", 503, VERSION, 503, {}, b"a rule of the lab"),
    ("well-known.404", True, WELL_KNOWN, 404, {}, b"M_NOT_FOUND"),
    ("well-known.500", True, WELL_KNOWN, 500, {}, b"M_UNKNOWN"),
    ("well-known.not-json", True, WELL_KNOWN, 200, HTML, b"<html>"),
    ("well-known.wrong-type", True, WELL_KNOWN, 200, {}, b'"m.server":8448'),
    ("well-known.too-large", True, WELL_KNOWN, 200, {}, b"a{20000}"),
    ("well-known.m.server", "a b", WELL_KNOWN, 200, {}, b'"a b"'),
    ("well-known.redirect", 2, WELL_KNOWN, 302, {"location": HOP + "1"}, b""),
    ("well-known.redirect", 2, HOP + "2", 404, {}, b""),
    ("well-known.redirect-loop", True, WELL_KNOWN, 302, {"location": WELL_KNOWN}, b""),
    ("well-known.redirect-http", True, WELL_KNOWN, 302, {"location": HTTP}, b""),
    ("well-known.cache", "a", WELL_KNOWN, 404, {"cache-control": "a"}, b""),
    ("keys.not-json", True, V2, 200, {}, b"[^}]}}$"),
    ("keys.too-large", True, V1, 200, {}, b"^ {20000}"),
    ("keys.no-self-signature", True, V2, 200, {}, b'"signatures":{}'),
    (
        "keys.bad-signature",
        True,
        V1,
        200,
        {},
        lambda got, right: got["signatures"] != right["signatures"],
    ),
    ("keys.other-name", True, V2, 200, {}, b'"server_name":"spoiled.invalid"'),
    ("keys.missing-key", True, V2, 200, {}, b'"verify_keys":{}'),
    ("keys.unknown-algorithm", True, V2, 200, {}, b'"ed448:'),
    ("keys.padded", True, V2, 200, {}, b'"key":"[^"]*="'),
    (
        "keys.expired",
        True,
        V2,
        200,
        {},
        lambda got, right: got["valid_until_ts"] < right["valid_until_ts"] - 86_400_000,
    ),
    ("keys.valid_until", 12345, V2, 200, {}, b'"valid_until_ts":12345,'),
    (
        "keys.old-only",
        True,
        V2,
        200,
        {},
        lambda got, right: (
            got["old_verify_keys"].keys() == right[KEY].keys() and got[KEY] == {}
        ),
    ),
    ("keys.rotated", True, V1, 200, {}, b'"verify_keys":{"ed25519:spoiled"'),
    (
        "keys.same-id-other-key",
        True,
        V2,
        200,
        {},
        lambda got, right: (
            got[KEY] != right[KEY] and got[KEY].keys() == right[KEY].keys()
        ),
    ),
    ("notary.empty", True, QUERY, 200, {}, b'{"server_keys":\\[\\]}'),
    ("notary.error", True, QUERY, 500, {}, b"M_UNKNOWN"),
    (
        "notary.forged",
        True,
        QUERY,
        200,
        {},
        lambda got, right: got["server_keys"][0][KEY] != right["server_keys"][0][KEY],
    ),
    (
        "notary.without-own-signature",
        True,
        QUERY,
        200,
        {},
        lambda got, _: len(got["server_keys"][0]["signatures"]) == 1,
    ),
    (
        "notary.stale",
        True,
        QUERY,
        200,
        {},
        lambda got, right: (
            got["server_keys"][0]["valid_until_ts"]
            < right["server_keys"][0]["valid_until_ts"] - 80_000_000
            and len(got["server_keys"][0]["signatures"]) == 2
        ),
    ),
]


@pytest.mark.parametrize("row", ANSWERS, ids=[row[0] for row in ANSWERS])
def test_an_answer(lab: Lab, client: Client, row: Row) -> None:
    """A client reads it whole, once; then, and from another server, it is right."""
    name, argument, path, status, headers, check = row
    server, other = lab.servers(2)
    path = path.format(other.name)
    right = ask(lab, client, server, path)
    put(lab, server, {name: argument}, times=1)
    got = ask(lab, client, server, path)
    assert (got.status, got.error) == (status, "")
    # Go has taken some headers out.
    for header, value in headers.items():
        assert got.headers.get(header, value.format(server.name)) == value.format(
            server.name
        )
    if isinstance(check, bytes):
        assert re.search(check, got.body, re.DOTALL), got.body[:300]
    else:
        assert check(json.loads(got.body), json.loads(right.body)), got.body
    for unharmed in (server, other):
        assert ask(lab, client, unharmed, path).status == right.status
    assert acted(lab, server) == [(2, 1)]


def test_gzip_unpacks(lab: Lab, client: Client) -> None:
    """The body is what it was."""
    [server] = lab.servers(1)
    right = ask(lab, client, server, VERSION)
    put(lab, server, {"http.gzip": True})
    assert gzip.decompress(ask(lab, client, server, VERSION).body) == right.body


CUT = r"\((18|52|55|56)\)|EOF|reset|aborted|ECONNRESET|socket hang up"
IN_VAIN = r"\(28\)|Timeout|deadline|TIME"

ENDS: list[tuple[str, object, str, str]] = [
    ("http.drop-request", True, VERSION, CUT),
    ("http.drop-reply", True, VERSION, CUT),
    ("http.truncate", True, VERSION, CUT),
    ("http.chunked-cut", True, VERSION, CUT),
    ("http.silence", True, VERSION, IN_VAIN),
    ("http.delay", 30, VERSION, IN_VAIN),
    ("http.delay-body", 30, VERSION, IN_VAIN),
    ("http.wrong-length", 9999, VERSION, f"{CUT}|{IN_VAIN}"),
    ("well-known.silence", True, WELL_KNOWN, IN_VAIN),
]


@pytest.mark.parametrize("row", ENDS, ids=[f"{row[0]}-{row[1]}" for row in ENDS])
def test_no_whole_answer(
    lab: Lab, client: Client, row: tuple[str, object, str, str]
) -> None:
    """A client says so, and the next request is answered."""
    name, argument, path, error = row
    [server] = lab.servers(1)
    put(lab, server, {name: argument}, times=1)
    got = ask(lab, client, server, path, 2.0 if IN_VAIN in error else 20.0)
    assert re.search(error, got.error), got
    assert ask(lab, client, server, VERSION).status == 200


def test_large_answers(lab: Lab) -> None:
    """Ten megabytes come whole."""
    [server] = lab.servers(1)
    put(lab, server, {"well-known.too-large": True, "keys.too-large": True})
    for path in (WELL_KNOWN, V2, V1):
        assert len(curl(asked(lab, server, path)).body) > 10_000_000


def test_the_work_of_a_dropped_reply_is_done(lab: Lab) -> None:
    """The transaction is there; with a dropped request, it is not."""
    body = {"origin_server_ts": 1, "pdus": [], "edus": []}
    for do, count in [("http.drop-request", 0), ("http.drop-reply", 1)]:
        ours, theirs = lab.servers(2)
        put(lab, theirs, {do: True}, match={"method": "PUT"})
        content = {"origin": ours.name, **body}
        path = "/_matrix/federation/v1/send/1"
        sent = ours.request(theirs.name, path, method="PUT", content=content)
        assert (sent.status, sent.reason) == (None, "no_answer")
        assert len(theirs.received()) == count


DOCUMENTS: list[tuple[str, object, str | None, str | None]] = [
    # The fault, its argument, why version 2 is refused, and version 1.
    ("keys.no-self-signature", True, "sign", "sign"),
    ("keys.bad-signature", True, "verify", "verify"),
    ("keys.other-name", True, "spoiled.invalid", "spoiled.invalid"),
    ("keys.missing-key", True, "sign", "sign"),
    ("keys.unknown-algorithm", True, "sign", "sign"),
    ("keys.padded", True, None, None),
    ("keys.expired", True, None, None),
    ("keys.valid_until", 12345, None, None),
    ("keys.old-only", True, "sign", None),
    ("keys.rotated", True, None, None),
    ("keys.same-id-other-key", True, None, None),
]


@pytest.mark.parametrize(("name", "argument", "v2", "v1"), DOCUMENTS)
def test_a_key_document_has_its_fault(
    lab: Lab, name: str, argument: object, v2: str | None, v1: str | None
) -> None:
    """Our own parser says what is wrong with it, in both versions."""
    server, other = lab.servers(2)
    put(lab, server, {name: argument})
    for path, parse, why in [(V2, parse_v2, v2), (V1, parse_v1, v1)]:
        body = curl(asked(lab, server, path)).body
        try:
            parse(body, ServerName.parse(server.name))
        except ProtocolError as problem:
            assert why is not None, problem
            assert why in str(problem)
        else:
            assert why is None
        parse(curl(asked(lab, other, path)).body, ServerName.parse(other.name))


def test_only_requests_of_its_kind_count(lab: Lab) -> None:
    """A fault of keys leaves others alone, and they do not use it up."""
    [server] = lab.servers(1)
    put(lab, server, {"keys.valid_until": 12345}, times=1)
    assert curl(asked(lab, server, VERSION)).status == 200
    assert acted(lab, server) == [(0, 0)]
    assert json.loads(curl(asked(lab, server, V2)).body)["valid_until_ts"] == 12345

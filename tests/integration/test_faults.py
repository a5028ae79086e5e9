"""Faults of rules, as a client sees them on the wire."""

import gzip
import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, IncompleteRead
from typing import Any

import pytest

from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import parse_v1, parse_v2
from homeserver.testing import Lab, LabError, Server
from tests.support.lab_rules import put

V1, V2 = "/_matrix/key/v1", "/_matrix/key/v2/server"
VERSION = "/_matrix/federation/v1/version"
WELL_KNOWN = "/.well-known/matrix/server"
HOP = f"{WELL_KNOWN}?hop={{}}"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab for all tests: each has servers of its own."""
    with Lab() as running:
        yield running


def now_ts() -> float:
    """Milliseconds since 1970."""
    return datetime.now(UTC).timestamp() * 1000


class Got:
    """An answer as Python's own client reads it."""

    def __init__(self, server: Server, path: str, seconds: float = 10) -> None:
        host, _, port = server.listen.rpartition(":")
        context = ssl._create_unverified_context()
        plain = socket.create_connection((host, int(port)), seconds)
        with plain, context.wrap_socket(plain, server_hostname=server.name) as secure:
            connection = HTTPConnection(server.name)
            connection.sock = secure
            connection.request("GET", path)
            response = connection.getresponse()
            self.status = response.status
            self.headers = response.headers
            self.body = response.read()

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        found: dict[str, Any] = json.loads(self.body)
        return found


ANSWERS: list[tuple[str, object, str, int, dict[str, str], bytes]] = [
    ("http.status", 503, VERSION, 503, {}, b"a rule of the lab"),
    ("http.errcode", "M_X", VERSION, 400, {}, b'"errcode":"M_X"'),
    ("http.retry-after", 9, VERSION, 200, {"Retry-After": "9"}, b"homeserver"),
    ("http.header", {"X-A": "b"}, VERSION, 200, {"X-A": "b"}, b"homeserver"),
    ("http.redirect", "/x", VERSION, 307, {"Location": "/x"}, b"{}"),
    ("http.wrong-type", True, VERSION, 200, {"Content-Type": "text/html"}, b"home"),
    ("http.body", [1], VERSION, 200, {}, b"[1]"),
    ("http.empty", True, VERSION, 200, {"Content-Length": "0"}, b""),
    ("well-known.404", True, WELL_KNOWN, 404, {}, b"M_NOT_FOUND"),
    ("well-known.500", True, WELL_KNOWN, 500, {}, b"M_UNKNOWN"),
    (
        "well-known.not-json",
        True,
        WELL_KNOWN,
        200,
        {"Content-Type": "text/html"},
        b"<html>",
    ),
    ("well-known.wrong-type", True, WELL_KNOWN, 200, {}, b'{"m.server":8448}'),
    ("well-known.m.server", "a b", WELL_KNOWN, 200, {}, b'{"m.server":"a b"}'),
    (
        "well-known.cache",
        "no-store",
        WELL_KNOWN,
        404,
        {"Cache-Control": "no-store"},
        b"",
    ),
    ("well-known.redirect-loop", True, WELL_KNOWN, 302, {"Location": WELL_KNOWN}, b""),
    (
        "well-known.redirect",
        2,
        WELL_KNOWN,
        302,
        {"Location": f"{WELL_KNOWN}?hop=1"},
        b"",
    ),
    ("well-known.redirect", 2, HOP.format(2), 404, {}, b""),
]


@pytest.mark.parametrize("row", ANSWERS, ids=[f"{row[0]}-{row[2]}" for row in ANSWERS])
def test_an_answer_has_its_fault(
    lab: Lab, row: tuple[str, object, str, int, dict[str, str], bytes]
) -> None:
    """A client sees it; one that asks another server, or another route, does not."""
    name, argument, path, status, headers, text = row
    faulty, other = lab.servers(2)
    right = Got(other, path)
    put(lab, faulty, {name: argument}, times=1)
    got = Got(faulty, path)
    assert got.status == status
    assert text in got.body
    assert headers.items() <= dict(got.headers.items()).items()
    for unharmed in (Got(faulty, path), Got(other, path)):
        assert (unharmed.status, unharmed.body) == (right.status, right.body)


def test_gzip(lab: Lab) -> None:
    """The body unpacks to what it was."""
    [server] = lab.servers(1)
    right = Got(server, VERSION)
    put(lab, server, {"http.gzip": True})
    got = Got(server, VERSION)
    assert got.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(got.body) == right.body


def test_a_redirect_to_http(lab: Lab) -> None:
    """The location has the host that was asked."""
    [server] = lab.servers(1)
    put(lab, server, {"well-known.redirect-http": True})
    location = Got(server, WELL_KNOWN).headers["Location"]
    assert location == f"http://{server.name}{WELL_KNOWN}"


def test_large_answers(lab: Lab) -> None:
    """Ten megabytes come whole."""
    [server] = lab.servers(1)
    put(lab, server, {"well-known.too-large": True, "keys.too-large": True})
    for path in (WELL_KNOWN, V2, V1):
        assert len(Got(server, path).body) > 10_000_000


@pytest.mark.parametrize(
    ("do", "error"),
    [
        ({"http.truncate": True}, IncompleteRead),
        ({"http.drop-request": True}, (OSError, HTTPException)),
        ({"http.drop-reply": True}, (OSError, HTTPException)),
        ({"http.silence": True}, TimeoutError),
        ({"well-known.silence": True}, TimeoutError),
        ({"http.wrong-length": 9999}, TimeoutError),
        ({"http.bad-json": True}, json.JSONDecodeError),
        ({"keys.not-json": True}, json.JSONDecodeError),
    ],
)
def test_no_whole_answer(lab: Lab, do: dict[str, object], error: Any) -> None:
    """The connection ends, or the client waits in vain; the lab goes on."""
    [server] = lab.servers(1)
    path = WELL_KNOWN if "well-known.silence" in do else V2
    put(lab, server, do, times=1)
    began = time.monotonic()
    with pytest.raises(error):
        _ = Got(server, path, seconds=0.5).json
    assert time.monotonic() - began < 5
    Got(server, path)


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
        body = Got(server, path).body
        try:
            parse(body, ServerName.parse(server.name))
        except ProtocolError as problem:
            assert why is not None, problem
            assert why in str(problem)
        else:
            assert why is None
        parse(Got(other, path).body, ServerName.parse(other.name))


def test_what_documents_say(lab: Lab) -> None:
    """Times and keys are those of the fault."""
    [server] = lab.servers(1)
    right = Got(server, V2).json
    says = {}
    for name in ("expired", "old-only", "rotated", "same-id-other-key", "padded"):
        rule = put(lab, server, {f"keys.{name}": True})
        says[name] = Got(server, V2).json
        lab.link.call("DELETE", "v1", "servers", server.name, "rules", str(rule))
    assert says["expired"]["valid_until_ts"] < now_ts()
    assert list(says["old-only"]["old_verify_keys"]) == [server.key_id]
    assert list(says["rotated"]["verify_keys"]) == ["ed25519:spoiled"]
    same = says["same-id-other-key"]["verify_keys"]
    assert same.keys() == right["verify_keys"].keys()
    assert same != right["verify_keys"]
    key = says["padded"]["verify_keys"][server.key_id]["key"]
    assert key == right["verify_keys"][server.key_id]["key"] + "="
    assert Got(server, V2).json == right


NOTARY: list[tuple[str, int, int]] = [
    ("notary.empty", 200, 0),
    ("notary.error", 500, 0),
    ("notary.without-own-signature", 200, 1),
    ("notary.forged", 200, 1),
]


@pytest.mark.parametrize(("name", "status", "count"), NOTARY)
def test_a_notary_has_its_fault(lab: Lab, name: str, status: int, count: int) -> None:
    """The documents of a third server come wrong, or not at all."""
    notary, third = lab.servers(2)
    path = f"/_matrix/key/v2/query/{third.name}"
    [right] = Got(notary, path).json["server_keys"]
    put(lab, notary, {name: True})
    got = Got(notary, path)
    assert got.status == status
    documents = got.json.get("server_keys", [])
    assert len(documents) == count
    for document in documents:
        forged = document["verify_keys"] != right["verify_keys"]
        assert forged == (name == "notary.forged")
        assert (notary.name in document["signatures"]) == forged
        assert third.name in document["signatures"]


def test_only_requests_of_its_kind_count(lab: Lab) -> None:
    """A fault of keys leaves others alone, and they do not use it up."""
    [server] = lab.servers(1)
    put(lab, server, {"keys.expired": True}, times=1)
    assert Got(server, VERSION).status == 200
    [rule] = lab.link.call("GET", "v1", "servers", server.name, "rules")["rules"]
    assert (rule["matched"], rule["acted"]) == (0, 0)
    assert Got(server, V2).json["valid_until_ts"] < now_ts()


def test_answers_to_transactions(lab: Lab) -> None:
    """The answer is extended, and the transaction is taken."""
    ours, theirs = lab.servers(2)
    put(lab, theirs, {"federation.unknown-members": True})
    content = {"origin": ours.name, "origin_server_ts": 1, "pdus": [], "edus": []}
    path = "/_matrix/federation/v1/send/1"
    sent = ours.request(theirs.name, path, method="PUT", content=content)
    assert sent.content["pdus"] == {}
    assert "org.example.unknown" in sent.content
    assert len(theirs.received()) == 1


BAD: list[tuple[dict[str, object], str]] = [
    ({"keys.expired": 1}, "`keys.expired` is true"),
    ({"keys.expird": True}, "did you mean 'keys.expired'"),
    ({"keys.valid_until": -1}, "`keys.valid_until` is 0 to"),
    ({"keys.valid_until": "x"}, "`keys.valid_until` is a whole number"),
    ({"http.header": {}}, "`http.header` is an object of headers"),
    ({"http.header": {"a b": "c"}}, "has letters"),
    ({"http.header": {"a": "\n"}}, "printable ASCII"),
    ({"http.header": {"Content-Length": "1"}}, "a fault of its own"),
    ({"http.errcode": ""}, "`http.errcode` is a text"),
    ({"http.redirect": "a\r\nb"}, "printable ASCII"),
    ({"http.delay": 601}, "0 to 600 seconds"),
    ({"well-known.redirect": 0}, "1 to 100"),
]


@pytest.mark.parametrize(("do", "why"), BAD)
def test_a_bad_argument_is_refused(lab: Lab, do: dict[str, object], why: str) -> None:
    """The error names the fault, and what its argument may be."""
    [server] = lab.servers(1)
    with pytest.raises(LabError, match=why):
        put(lab, server, do)

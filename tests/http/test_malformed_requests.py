"""Bytes that are no request of HTTP.

They get one answer in JSON, the connection is closed, and no error of ours is logged.
"""

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from homeserver.protocol.canonical_json import encode
from tests.support.byte_cuts import CUTS, Cut
from tests.support.federation_side import Endpoint
from tests.support.http_connection import Connection, chunked, request, site
from tests.support.manual_resource import Desk
from tests.support.mutations import mutated_bytes
from tests.support.signed_requests import THEM

# Complete but for the end of the head, so that nothing but what follows is wrong.
HOST = "Host: us.example\r\n"
GET = f"GET / HTTP/1.1\r\n{HOST}"
PUT = f"PUT / HTTP/1.1\r\n{HOST}"

MALFORMED: list[tuple[str, str]] = [
    ("no HTTP at all", "nonsense\r\n\r\n"),
    ("of 0.9", "GET /\r\n"),
    ("of 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("of another version", "GET / HTTP/1.2\r\n" + HOST + "\r\n"),
    ("without a target", "GET  HTTP/1.1\r\n" + HOST + "\r\n"),
    ("a blank in the target", "GET /a b HTTP/1.1\r\n" + HOST + "\r\n"),
    ("a control character in the target", "GET /\x01 HTTP/1.1\r\n" + HOST + "\r\n"),
    ("a method that is no token", "G(T / HTTP/1.1\r\n" + HOST + "\r\n"),
    ("blank lines", "\r\n\r\n"),
    ("TLS in TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"),
    ("a header without a colon", GET + "nonsense\r\n\r\n"),
    ("and more headers after it", GET + "nonsense\r\na: b\r\n\r\n"),
    ("a header without a name", GET + ": x\r\n\r\n"),
    ("a header of a strange name", GET + "a b: x\r\n\r\n"),
    ("a NUL in a header", GET + "a: \0\r\n\r\n"),
    ("a line feed in a header", GET + "a: b\nc: d\r\n\r\n"),
    ("a header that continues nothing", GET + " nonsense\r\n\r\n"),
    ("501 headers", GET + "a: b\r\n" * 501 + "\r\n"),
    ("20 kB of headers", GET + ("a: " + "b" * 1000 + "\r\n") * 20 + "\r\n"),
    ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ("no host, and a body", "PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
    ("two hosts", "GET / HTTP/1.1\r\nHost: us.example\r\nHost: us.example\r\n\r\n"),
    (
        "two hosts of HTTP/1.0",
        "GET / HTTP/1.0\r\nHost: us.example\r\nHost: us.example\r\n\r\n",
    ),
    ("a URL and no host beside it", "GET http://us.example/ HTTP/1.1\r\n\r\n"),
    ("a host with a blank", "GET / HTTP/1.1\r\nHost: us example\r\n\r\n"),
    ("a host with a path", "GET / HTTP/1.1\r\nHost: us.example/x\r\n\r\n"),
    ("a host with a user", "GET / HTTP/1.1\r\nHost: a@us.example\r\n\r\n"),
    (
        "two hosts in one header",
        "GET / HTTP/1.1\r\nHost: us.example, us.example\r\n\r\n",
    ),
    ("a port that is none", "GET / HTTP/1.1\r\nHost: us.example:a\r\n\r\n"),
    ("a URL without a host", "GET http:///x HTTP/1.1\r\nHost: us.example\r\n\r\n"),
    ("a URL of a user", "GET http://a@b/ HTTP/1.1\r\nHost: us.example\r\n\r\n"),
    ("a length that is none", PUT + "Content-Length: x\r\n\r\n"),
    ("a negative length", PUT + "Content-Length: -1\r\n\r\n"),
    ("a length with a sign", PUT + "Content-Length: +1\r\n\r\n"),
    ("a length of 5000 digits", PUT + f"Content-Length: {'9' * 5000}\r\n\r\n"),
    (
        "a length of 5000 digits in the middle",
        PUT + f"Content-Length: {'9' * 5000}\r\na: b\r\n\r\n",
    ),
    ("two lengths", PUT + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
    ("a length twice", PUT + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
    (
        "a length and chunks",
        PUT + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks and a length",
        PUT + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    ("an unknown encoding", PUT + "Transfer-Encoding: gzip\r\n\r\n"),
    ("an encoding that is none", PUT + "Transfer-Encoding: Identity\r\n\r\n"),
    (
        "an encoding that is none, and a length",
        PUT + "transfer-encoding:identity\r\nContent-Length: 2\r\n\r\n{}",
    ),
    (
        "an encoding in another one",
        PUT + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks in chunks",
        PUT + "Transfer-Encoding: chunked\r\n" * 2 + "\r\n0\r\n\r\n",
    ),
    ("a chunk without a size", PUT + "Transfer-Encoding: chunked\r\n\r\nx\r\n"),
    ("a chunk of size -1", PUT + "Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
    ("a chunk of size 0x1", PUT + "Transfer-Encoding: chunked\r\n\r\n0x1\r\n"),
    (
        "a chunk longer than it says",
        PUT + "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n",
    ),
    (
        "a chunk's size without end",
        PUT + "Transfer-Encoding: chunked\r\n\r\n" + "0" * 2000,
    ),
    (
        "trailers without end",
        PUT + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + "a: b\r\n" * 20_000,
    ),
]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "text", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED]
)
def test_malformed(text: str, cut: Cut) -> None:
    """What is not HTTP gets one answer in JSON, and the connection is closed."""
    desk = Desk()
    connection = Connection(site(desk))
    connection.send(*cut(text.encode("latin-1")))
    connection.send(b"\r\n", request("GET", "/"))
    [answer] = connection.answers()
    assert answer.error == (400, "M_UNKNOWN")
    assert answer.headers["connection"] == "close"
    assert connection.is_closed
    assert desk.taken == []
    connection.lose()


@pytest.mark.parametrize(
    "text",
    [
        b"A" * 20_000,
        b"GET /" + b"a" * 20_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000,
    ],
    ids=["line", "target", "header"],
)
def test_a_line_without_an_end(text: bytes) -> None:
    """A line that goes on and on is answered as a bad request, and the end."""
    connection = Connection(site(Desk()))
    connection.send(text)
    [answer] = connection.answers()
    assert answer.error == (400, "M_UNKNOWN")
    assert connection.is_closed


def seeds() -> list[bytes]:
    """Good requests for every kind of route."""
    uri = "/_matrix/federation/v1/send/1"
    content: dict[str, object] = {"pdus": [{"type": "m.x"}], "edus": []}
    query = "/_matrix/federation/v1/query/profile?user_id=@a:us.example"
    header = "Authorization: "
    return [
        request("GET", "/_matrix/key/v1"),
        request("GET", "/_matrix/key/v2/server/", version="HTTP/1.0"),
        request("GET", "/.well-known/matrix/server"),
        request("HEAD", "/_matrix/federation/v1/version"),
        request("GET", query, [header + THEM.authorize("GET", query)]),
        request(
            "PUT", uri, [header + THEM.authorize("PUT", uri, content)], encode(content)
        ),
        request("POST", uri, ["Content-Type: multipart/form-data"], b"--x"),
        chunked(uri, b"{}", b""),
    ]


SEEDS = seeds()
FRAGMENTS = [
    *[b"\r\n", b"\r\n\r\n", b"\n", b"\0", b"\xff", b" ", b"\t", b":", b"?", b"%", b"/"],
    *[b'"', b"\\", b",", b"=", b"9" * 5000, b"a" * 17_000, b"[" * 200, b"1e999"],
    *[b"Transfer-Encoding: chunked\r\n", b"Content-Length: 1\r\n", b"Expect: "],
    *[b"Authorization: X-Matrix \xff\r\n", b"HTTP/1.1", b"%ff", b"\xc3", b"\xed\xa0"],
]


def pieces(random: Random) -> list[bytes]:
    """Requests and nonsense, in pieces."""
    data = b"".join(
        mutated_bytes(random, SEEDS, FRAGMENTS)
        if random.random() < 0.8
        else random.randbytes(random.randint(0, 50))
        for _ in range(random.randint(1, 3))
    )
    cuts = sorted(random.randint(0, len(data)) for _ in range(random.randint(0, 4)))
    return [
        data[start:end]
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)
    ]


class GarbageTests(SynchronousTestCase):
    """Bytes of any kind."""

    @settings(max_examples=300)
    @given(st.randoms(use_true_random=True))
    def test_garbage(self, random: Random) -> None:
        """Whatever comes, no answer is a 500 and nothing breaks."""
        connection = Connection(Endpoint(max_body_bytes=500).site)
        connection.send(*pieces(random))
        said = connection.transport.value()
        statuses = re.findall(rb"HTTP/1\.[01] ([0-9]{3})", said)
        self.assertNotIn(b"500", statuses)
        connection.lose()
        self.assertEqual(self.flushLoggedErrors(), [])

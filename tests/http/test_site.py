"""What may come in, and what becomes of what may not."""

import re
import tempfile
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.http.arriving import ArrivingBodies
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.site import BoundedSite
from homeserver.protocol.canonical_json import encode
from tests.support.federation_side import Endpoint
from tests.support.http_connection import (
    Connection,
    ask,
    at_root,
    chunked,
    request,
    site,
)
from tests.support.logged_errors import LoggedErrors
from tests.support.manual_resource import Desk
from tests.support.mutations import mutated_bytes
from tests.support.signed_requests import THEM

LIMIT = 10


def whole(data: bytes) -> list[bytes]:
    """All at once."""
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    """One byte at a time."""
    return [data[i : i + 1] for i in range(len(data))]


Cut = Callable[[bytes], list[bytes]]
CUTS = [whole, byte_by_byte]


WITHIN: list[tuple[str, bytes, bytes]] = [
    ("none", request("PUT", "/"), b""),
    ("empty", request("PUT", "/", body=b""), b""),
    ("below the limit", request("PUT", "/", body=b"x" * 9), b"x" * 9),
    ("at the limit", request("PUT", "/", body=b"x" * 10), b"x" * 10),
    ("chunks below the limit", chunked("/", b"xxxx", b"yyyyy", b""), b"xxxxyyyyy"),
    ("chunks at the limit", chunked("/", b"xxxx", b"yyyyyy", b""), b"xxxxyyyyyy"),
    ("one chunk at the limit", chunked("/", b"x" * 10, b""), b"x" * 10),
]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("data", "body"), [row[1:] for row in WITHIN], ids=[row[0] for row in WITHIN]
)
def test_body_within_the_limit(data: bytes, body: bytes, cut: Cut) -> None:
    """A body up to the limit, and exactly of it, reaches its resource whole."""
    desk = Desk()
    connection = Connection(site(desk, max_body_bytes=LIMIT))
    connection.send(*cut(data))
    [answer] = connection.answers()
    assert (answer.status, desk.taken) == (200, [body])


BEYOND: list[tuple[str, bytes]] = [
    ("announced", request("PUT", "/", ["Content-Length: 11"])),
    ("announced as huge", request("PUT", "/", [f"Content-Length: {10**400}"])),
    ("with a part of it", request("PUT", "/", ["Content-Length: 99"]) + b"x" * 50),
    ("all there", request("PUT", "/", body=b"x" * 11)),
    ("of an unknown route", request("PUT", "/nowhere", body=b"x" * 11)),
    ("of a GET", request("GET", "/", body=b"x" * 11)),
    ("of HTTP/1.0", request("PUT", "/", body=b"x" * 11, version="HTTP/1.0")),
    ("one chunk", chunked("/", b"x" * 11)),
    ("several chunks", chunked("/", b"x" * 4, b"x" * 4, b"x" * 3)),
    ("more chunks after it", chunked("/", b"x" * 6, b"y" * 6, b"z" * 6, b"")),
    ("a chunk that is on its way", chunked("/") + b"ffffffff\r\n" + b"x" * 11),
    ("all chunks", chunked("/", b"x" * 11, b"")),
    (
        "that asks before it sends",
        request("PUT", "/", ["Expect: 100-continue", "Content-Length: 11"]),
    ),
    ("and another request", request("PUT", "/", body=b"x" * 11) + request("GET", "/")),
    ("and chunks gone wrong", chunked("/", b"x" * 11) + b"nonsense\r\n"),
]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "data", [row[1] for row in BEYOND], ids=[row[0] for row in BEYOND]
)
def test_body_beyond_the_limit(data: bytes, cut: Cut) -> None:
    """A body over the limit is refused, the connection closed, no resource asked."""
    desk = Desk()
    connection = Connection(site(desk, max_body_bytes=LIMIT))
    connection.send(*cut(data))
    [answer] = connection.answers()
    assert answer.error == (413, "M_TOO_LARGE")
    assert answer.headers["connection"] == "close"
    assert connection.is_closed
    assert desk.taken == []
    connection.lose()


NOT_FOR_A_BODY: list[tuple[str, bytes, int]] = [
    ("an unknown route", request("PUT", "/nowhere", ["Content-Length: 9"]), 404),
    ("another method", request("DELETE", "/", ["Content-Length: 9"]), 405),
    ("chunks to nowhere", chunked("/nowhere"), 404),
    (
        "one that asks before it sends",
        request("PUT", "/nowhere", ["Expect: 100-continue", "Content-Length: 9"]),
        404,
    ),
]


@pytest.mark.parametrize(
    ("data", "status"),
    [row[1:] for row in NOT_FOR_A_BODY],
    ids=[row[0] for row in NOT_FOR_A_BODY],
)
def test_what_the_head_condemns(data: bytes, status: int) -> None:
    """It is answered before its body has come, and the connection is closed."""
    desk = Desk()
    connection = Connection(site(desk))
    connection.send(data)
    [answer] = connection.answers()
    assert answer.error == (status, "M_UNRECOGNIZED")
    assert answer.headers["connection"] == "close"
    assert ("allow" in answer.headers) == (status == 405)
    assert connection.is_closed
    connection.send(b"x" * 9, request("GET", "/"))
    assert len(connection.answers()) == 1
    assert desk.taken == []
    connection.lose()


def test_an_error_of_ours_before_the_body(logged_errors: LoggedErrors) -> None:
    """What goes wrong while a head is judged is a 500, and logged."""

    class Broken(Desk):
        def judge(self, request: Request) -> None:
            """Fail."""
            raise KeyError

    connection = Connection(site(Broken()))
    connection.send(request("PUT", "/", ["Content-Length: 9"]))
    assert [answer.error for answer in connection.answers()] == [(500, "M_UNKNOWN")]
    assert len(logged_errors.flush(KeyError)) == 1
    connection.lose()


def test_no_room_for_a_body() -> None:
    """Where bodies fill what there is, the next is answered with 503, in JSON."""
    bodies = ArrivingBodies("federation", 100)
    full = site(Desk(), bodies=bodies)
    first, second = Connection(full), Connection(full, "192.0.2.2")
    first.send(request("PUT", "/", ["Content-Length: 99"]), b"x" * 50)
    second.send(request("PUT", "/", ["Content-Length: 99"]), b"x" * 40)
    assert second.answers() == []
    second.send(b"x" * 20)  # it would be the largest by then
    [answer] = second.answers()
    assert answer.error == (503, "M_LIMIT_EXCEEDED")
    assert answer.headers["retry-after"] == "5"
    assert (second.is_closed, bodies.bound.use()) == (True, 50)
    first.send(b"x" * 49)
    assert [answer.status for answer in first.answers()] == [200]
    assert bodies.bound.use() == 0
    second.lose()


def test_a_body_gives_way_while_it_arrives() -> None:
    """The newest body of the client with the most is answered with 503 and closed."""
    bodies = ArrivingBodies("federation", 100)
    full = site(Desk(), bodies=bodies)
    large = [Connection(full) for _ in range(3)]
    for each in large:
        each.send(request("PUT", "/", ["Content-Length: 99"]), b"x" * 30)
    other = Connection(full, "192.0.2.2")
    other.send(request("PUT", "/", body=b"x" * 20))
    assert [answer.status for answer in other.answers()] == [200]
    assert [[a.status for a in each.answers()] for each in large] == [[], [], [503]]
    assert large[2].is_closed
    for each in large:
        each.lose()
    assert bodies.bound.use() == 0


def test_a_body_that_cannot_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the temporary folder is full or gone, that is a 503 and no traceback."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    connection = Connection(site(Desk(), max_body_bytes=10**6))
    connection.send(request("PUT", "/", body=b"x" * 70_000))
    [answer] = connection.answers()
    assert answer.error == (503, "M_LIMIT_EXCEEDED")
    assert answer.headers["retry-after"] == "5"
    connection.lose()


def test_a_body_that_is_lost_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is where the disk is found full only when all has come."""
    monkeypatch.setattr(
        tempfile, "TemporaryFile", partial(Path("/dev/full").open, "wb", 10**6)
    )
    desk = Desk()
    connection = Connection(site(desk, max_body_bytes=10**6))
    connection.send(request("PUT", "/", body=b"x" * 70_000))
    [answer] = connection.answers()
    assert answer.error == (503, "M_LIMIT_EXCEEDED")
    assert (connection.is_closed, desk.taken) == (True, [])
    connection.lose()


def test_refusal_comes_before_the_body() -> None:
    """A body that is announced as too large is refused before a byte of it came."""
    connection = Connection(site(Desk(), max_body_bytes=LIMIT))
    connection.send(request("PUT", "/", ["Content-Length: 11"]))
    assert [answer.status for answer in connection.answers()] == [413]
    assert connection.is_closed


def test_chunks_are_counted_while_they_come() -> None:
    """A body in chunks is refused with the first byte over the limit."""
    connection = Connection(site(Desk(), max_body_bytes=LIMIT))
    connection.send(chunked("/", b"x" * 6), b"5\r\n", b"yyyy")
    assert connection.answers() == []
    connection.send(b"y")
    assert [answer.status for answer in connection.answers()] == [413]
    assert connection.is_closed
    connection.lose()


def test_nothing_is_read_after_a_refusal() -> None:
    """What comes after a refusal is neither kept nor answered."""
    desk = Desk()
    connection = Connection(site(desk, max_body_bytes=LIMIT))
    connection.send(request("PUT", "/", ["Content-Length: 11"]))
    connection.send(b"x" * 11, request("GET", "/"), b"nonsense\r\n\r\n")
    assert [answer.status for answer in connection.answers()] == [413]
    assert desk.taken == []


def test_client_that_asks_first_is_told_to_go_on() -> None:
    """`Expect: 100-continue` within the limit is answered with 100, then as usual."""
    desk = Desk()
    connection = Connection(site(desk, max_body_bytes=LIMIT))
    connection.send(
        request("PUT", "/", ["Expect: 100-continue", "Content-Length: 2"]), b"{}"
    )
    assert [answer.status for answer in connection.answers()] == [100, 200]
    assert desk.taken == [b"{}"]


CONTENT_TYPES = [
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    'multipart/form-data; boundary="\xff',
    "nonsense",
]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_content_type_changes_nothing(content_type: str) -> None:
    """A body is left as it is, whatever its Content-Type says."""
    desk = Desk()
    headers = [f"Content-Type: {content_type}"]
    answer = ask(site(desk), "POST", "/?a=1", headers, b"a=2&b=3")
    assert answer.status == 200
    assert desk.taken == [b"a=2&b=3"]
    assert desk.arguments == [{b"a": [b"1"]}]


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


def test_line_without_end() -> None:
    """A line that does not end is not collected for ever."""
    connection = Connection(site(Desk()))
    connection.send(b"GET /" + b"a" * 20_000)
    assert connection.is_closed


def test_keeps_a_connection() -> None:
    """Requests of HTTP/1.1 follow each other on one connection."""
    connection = Connection(site(Desk()))
    connection.send(request("GET", "/"), request("GET", "/"))
    assert [answer.json["number"] for answer in connection.answers()] == [0, 1]
    assert not connection.is_closed


CLOSING: list[tuple[str, bytes]] = [
    ("HTTP/1.0", request("GET", "/", version="HTTP/1.0")),
    ("told to", request("GET", "/", ["Connection: close"])),
]


@pytest.mark.parametrize(
    "data", [row[1] for row in CLOSING], ids=[row[0] for row in CLOSING]
)
def test_closes_a_connection(data: bytes) -> None:
    """A client of HTTP/1.0, or one that says so, gets one answer on a connection."""
    desk = Desk()
    connection = Connection(site(desk))
    connection.send(data, request("GET", "/"))
    assert [answer.status for answer in connection.answers()] == [200]
    assert connection.is_closed
    assert len(desk.taken) == 1


@pytest.mark.parametrize("cut", CUTS)
def test_pipelined_requests_wait_for_each_other(cut: Cut) -> None:
    """The next request on a connection is not looked at before the first's answer."""
    desk = Desk(waits=True)
    connection = Connection(site(desk))
    connection.send(
        *cut(request("PUT", "/", body=b"1") + request("PUT", "/", body=b"2"))
    )
    assert desk.taken == [b"1"]
    desk.results[0].callback(None)
    assert desk.taken == [b"1", b"2"]
    desk.results[1].callback(None)
    assert [answer.json["number"] for answer in connection.answers()] == [0, 1]


def test_pipelined_requests_are_not_hoarded() -> None:
    """A client that sends on while it is owed an answer is not read without end."""
    desk = Desk(waits=True)
    connection = Connection(site(desk))
    connection.send(request("GET", "/"), b"x" * 50_000)
    assert connection.transport.producerState == "paused"


def test_pipelined_request_that_is_refused() -> None:
    """A refusal comes after the answers to the requests before it."""
    desk = Desk(waits=True)
    connection = Connection(site(desk, max_body_bytes=LIMIT))
    connection.send(request("GET", "/") + request("PUT", "/", body=b"x" * 11))
    assert connection.answers() == []
    desk.results[0].callback(None)
    assert [answer.status for answer in connection.answers()] == [200, 413]


class TimeTests(SynchronousTestCase):
    """How long a connection may take."""

    def setUp(self) -> None:
        """Connect to a site that gives each request half a minute."""
        self.clock = Clock()
        self.desk = Desk(waits=True)
        self.connection = Connection(
            site(self.desk, request_seconds=30, clock=self.clock)
        )

    def test_silent_connection(self) -> None:
        """A connection that says nothing is closed when its time is over."""
        self.clock.advance(29)
        self.assertFalse(self.connection.is_closed)
        self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)
        self.assertEqual(self.connection.answers(), [])

    def test_request_that_comes_byte_by_byte(self) -> None:
        """A request that does not come whole in time is cut off, busy or not."""
        data = request("PUT", "/", ["X: y"] * 20, body=b"{}")
        for byte in byte_by_byte(data)[:30]:
            self.assertFalse(self.connection.is_closed)
            self.connection.send(byte)
            self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)

    def test_body_that_comes_byte_by_byte(self) -> None:
        """Neither is a body given new time by each of its bytes."""
        self.connection.send(request("PUT", "/", ["Content-Length: 100"]))
        for _ in range(30):
            self.assertFalse(self.connection.is_closed)
            self.connection.send(b"x")
            self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)
        self.assertEqual(self.desk.taken, [])
        [answer] = self.connection.answers()
        self.assertEqual(answer.error, (408, "M_UNKNOWN"))
        self.clock.advance(1.9)
        self.assertFalse(self.connection.is_aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.connection.is_aborted)

    def test_time_runs_from_the_first_byte(self) -> None:
        """A request after a long silence has its whole time."""
        self.clock.advance(29)
        self.connection.send(b"GET / HT")
        self.clock.advance(29)
        self.connection.send(b"TP/1.1\r\nHost: us.example\r\n\r\n")
        self.assertEqual(len(self.desk.taken), 1)

    def test_next_request_has_its_own_time(self) -> None:
        """After an answer, the time begins anew."""
        self.clock.advance(20)
        self.connection.send(request("GET", "/"))
        self.desk.results[0].callback(None)
        self.clock.advance(29)
        self.assertFalse(self.connection.is_closed)
        self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)

    def test_next_request_has_its_whole_time(self) -> None:
        """After an answer and a silence, a request has time from its first byte."""
        self.connection.send(request("GET", "/"))
        self.desk.results[0].callback(None)
        self.clock.advance(29)
        self.connection.send(b"GET / HT")
        self.clock.advance(29)
        self.connection.send(b"TP/1.1\r\nHost: us.example\r\n\r\n")
        self.assertEqual(len(self.desk.taken), 2)

    def test_work_is_not_cut_off(self) -> None:
        """The time that a resource takes does not count."""
        self.connection.send(request("GET", "/"))
        self.clock.advance(3600)
        self.desk.results[0].callback(None)
        self.assertEqual([a.status for a in self.connection.answers()], [200])

    def test_time_after_long_work(self) -> None:
        """After an answer that took longer, the next request has its own time too."""
        self.test_work_is_not_cut_off()
        self.clock.advance(29)
        self.assertFalse(self.connection.is_closed)
        self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)

    def test_date(self) -> None:
        """Each answer tells the second at which its request was there."""
        for number, seconds in enumerate([1_800_000_000, 0.25, 1, 86400]):
            self.clock.advance(seconds)
            connection = Connection(site(self.desk, clock=self.clock))
            connection.send(request("GET", "/"))
            self.desk.results[number].callback(None)
            [answer] = connection.answers()
            self.assertEqual(
                answer.headers["date"],
                formatdate(int(self.clock.seconds()), usegmt=True),
            )

    def test_one_call_for_all_requests(self) -> None:
        """However many requests there were, the clock has one call of a connection."""
        for number in range(3):
            self.connection.send(request("GET", "/"))
            self.desk.results[number].callback(None)
            self.clock.advance(20)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_peer_that_does_not_close(self) -> None:
        """A closed connection whose peer does not close is aborted soon."""
        self.connection.send(request("GET", "/", ["Connection: close"]))
        self.desk.results[0].callback(None)
        self.assertTrue(self.connection.is_closed)
        self.clock.advance(14)
        self.assertFalse(self.connection.is_aborted)
        self.clock.advance(1)
        self.assertTrue(self.connection.is_aborted)

    def test_refused_peer_that_does_not_close(self) -> None:
        """One that was refused has two seconds to read the answer."""
        self.connection.send(b"nonsense\r\n")
        self.assertTrue(self.connection.is_closed)
        self.clock.advance(1.9)
        self.assertFalse(self.connection.is_aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.connection.is_aborted)

    def test_refused_peer_that_sends_on(self) -> None:
        """Nor may it send without an end meanwhile."""
        self.connection.send(b"nonsense\r\n")
        self.connection.send(b"x" * 2**24)
        self.assertFalse(self.connection.is_aborted)
        self.connection.send(b"x")
        self.assertTrue(self.connection.is_aborted)

    def test_time_is_over_while_closing(self) -> None:
        """The end of a request's time changes nothing where the end has begun."""
        self.clock.advance(25)
        self.connection.send(b"n")
        self.clock.advance(29)
        self.connection.send(b"onsense\r\n")
        self.clock.advance(1.9)
        self.assertFalse(self.connection.is_aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.connection.is_aborted)
        self.assertEqual([a.status for a in self.connection.answers()], [400])

    def test_peer_that_closes(self) -> None:
        """Of a connection that is gone, nothing is left that waits."""
        self.connection.send(b"nonsense\r\n")
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_peer_that_was_cut_off(self) -> None:
        """Nor is anything left of one that was aborted."""
        self.connection.send(b"nonsense\r\n")
        self.clock.advance(15)
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_peer_that_closes_first(self) -> None:
        """Nor of one that the peer closed in the middle of a request."""
        self.connection.send(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nx")
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_drain_waits_for_all(order: tuple[int, ...]) -> None:
    """All requests in progress are waited for, in whatever order they end.

    So are their answers: until each connection is closed, they may be on their way.
    """
    desk = Desk(waits=True)
    busy = site(desk)
    connections = [Connection(busy) for _ in order]
    for connection in connections:
        connection.send(request("GET", "/"))
    drained = Deferred.fromCoroutine(busy.drain())
    for number in order:
        desk.results[number].callback(None)
        assert connections[number].is_closed
        assert not drained.called
        connections[number].lose()
    assert drained.called
    for connection in connections:
        [answer] = connection.answers()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"


class DrainTests(SynchronousTestCase):
    """Waiting for what is in progress, and closing all the rest."""

    def setUp(self) -> None:
        """Make a site whose answers wait."""
        self.desk = Desk(waits=True)
        self.site = site(self.desk)

    def _ask(self) -> Connection:
        connection = Connection(self.site)
        connection.send(request("GET", "/"))
        return connection

    def _drain(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.site.drain())

    def test_nobody(self) -> None:
        """There is nothing to wait for where nobody is."""
        self._ask().lose()
        self.successResultOf(self._drain())

    def test_nothing_in_progress(self) -> None:
        """Connections on which nothing was asked, or all is answered, are closed."""
        answered, silent = self._ask(), Connection(self.site)
        self.desk.results[0].callback(None)
        drained = self._drain()
        for connection in (answered, silent):
            self.assertTrue(connection.is_closed)
            self.assertNoResult(drained)  # the answer may be on its way
            connection.lose()
        self.successResultOf(drained)

    def test_last_answer(self) -> None:
        """What is asked after the last answer is not heard."""
        connection = self._ask()
        self._drain()
        connection.send(request("GET", "/"))
        self.desk.results[0].callback(None)
        self.assertEqual(len(connection.answers()), 1)
        self.assertEqual(len(self.desk.results), 1)

    def test_client_gone(self) -> None:
        """Who is gone is not waited for."""
        connection = self._ask()
        drained = self._drain()
        connection.lose()
        self.successResultOf(drained)
        self.desk.results[0].callback(None)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_request_on_its_way(self) -> None:
        """A request that has begun to arrive is answered when it is there."""
        connection = Connection(self.site)
        connection.send(b"GET / HTTP/1.1\r\nHost: us.example\r\nX: ")
        drained = self._drain()
        self.assertFalse(connection.is_closed)
        connection.send(b"y\r\n\r\n")
        self.desk.results[0].callback(None)
        [answer] = connection.answers()
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(connection.is_closed)
        connection.lose()
        self.successResultOf(drained)

    def test_refused_request(self) -> None:
        """One that was refused before it was there is not waited for."""
        self.site = site(self.desk, max_body_bytes=LIMIT)
        connection = Connection(self.site)
        connection.send(request("PUT", "/", body=b"x" * 11))
        drained = self._drain()
        connection.lose()
        self.successResultOf(drained)


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


def test_site_keeps_no_access_log() -> None:
    """No line is formatted for a request that was answered."""
    kept = site(Desk())
    kept.logPath = b"never opened"
    assert isinstance(kept, BoundedSite)
    assert ask(kept, "GET", "/").status == 200


@pytest.mark.parametrize(
    "text",
    [b"A" * 20_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000],
    ids=["line", "header"],
)
def test_a_line_without_an_end(text: bytes) -> None:
    """A line that goes on and on is answered as a bad request, and the end."""
    connection = Connection(site(Desk()))
    connection.send(text)
    [answer] = connection.answers()
    assert answer.error == (400, "M_UNKNOWN")
    assert connection.is_closed


def test_nothing_is_read_while_nobody_reads() -> None:
    """Who does not read its answers is not read from, a request at work or not."""
    answer: Deferred[Reply] = Deferred()

    async def take(_: Request) -> Reply:
        return await answer

    connection = Connection(site(at_root(GET=take)))
    connection.send(request("GET", "/"))
    producer = connection.transport.producer
    assert producer is not None
    producer.pauseProducing()
    assert connection.transport.producerState == "paused"
    answer.callback(json_reply({}))
    producer.resumeProducing()
    assert connection.transport.producerState == "producing"
    assert [each.status for each in connection.answers()] == [200]

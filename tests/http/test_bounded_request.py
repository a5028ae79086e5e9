"""How much of a body is taken, and what becomes of one that may not come in.

A body over the limit, or for which there is no room, is refused before it is whole, and
no resource is asked.
"""

import tempfile
from functools import partial
from pathlib import Path

import pytest

from homeserver.http.arriving import ArrivingBodies
from homeserver.http.request import Request
from tests.support.byte_cuts import CUTS, Cut
from tests.support.http_connection import Connection, ask, chunked, request, site
from tests.support.logged_errors import LoggedErrors
from tests.support.manual_resource import Desk

LIMIT = 10

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

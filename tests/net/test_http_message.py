"""HTTP messages that are read from what was on the wire."""

from homeserver.net.http_message import MAX_RECORDED_BYTES, Message, read_message
from tests.support.tables import cases

OK = "HTTP/1.1 200 OK"
CHUNKED = f"{OK}\r\nTransfer-Encoding: Chunked\r\n\r\n"


@cases(
    "data asked expected",
    [
        ("nothing", "", "", None),
        ("half a head", f"{OK}\r\nA: 1\r\n", "", None),
        ("interim alone", "HTTP/1.1 100 Continue\r\n\r\n", "", None),
        ("no body", f"{OK}\r\n\r\n", "", Message.of([], b"", OK)),
        (
            "case and order",
            f"{OK}\r\nx-ODD:1\r\nA:  b \r\nEmpty: \r\nA: c\r\n\r\n",
            "",
            Message.of(
                [("x-ODD", "1"), ("A", "b"), ("Empty", ""), ("A", "c")], b"", OK
            ),
        ),
        (
            "whole",
            f"{OK}\r\nContent-Length: 2\r\n\r\nab",
            "",
            Message.of([("Content-Length", "2")], b"ab", OK),
        ),
        (
            "lines without CR",
            f"HTTP/1.1 102 Go on\n\n{OK}\nA: 1\r\nContent-Length: 2\n\nab\n\n",
            "",
            Message.of([("A", "1"), ("Content-Length", "2")], b"ab\n\n", OK, [102]),
        ),
        (
            "cut",
            f"{OK}\r\nContent-Length: 3\r\n\r\nab",
            "",
            Message.of([("Content-Length", "3")], b"ab", OK, is_whole=False),
        ),
        (
            "more than announced",
            f"{OK}\r\nContent-Length: 1\r\n\r\nab",
            "",
            Message.of([("Content-Length", "1")], b"ab", OK),
        ),
        (
            "length that is none",
            f"{OK}\r\nContent-Length: x\r\n\r\nab",
            "",
            Message.of([("Content-Length", "x")], b"ab", OK),
        ),
        (
            "length without an end",
            f"{OK}\r\nContent-Length: {'9' * 5000}\r\n\r\nab",
            "",
            Message.of([("Content-Length", "9" * 5000)], b"ab", OK),
        ),
        (
            "header of two lines",
            f"{OK}\r\nA: 1\r\n \t2 \r\nB: 3\r\n\r\n",
            "",
            Message.of([("A", "1 2"), ("B", "3")], b"", OK),
        ),
        (
            "first line that goes on",
            f"{OK}\r\n A: 1\r\n\r\n",
            "",
            Message.of([(" A", "1")], b"", OK),
        ),
        (
            "answer to HEAD",
            f"{OK}\r\nContent-Length: 3\r\n\r\n",
            "HEAD",
            Message.of([("Content-Length", "3")], b"", OK),
        ),
        (
            "304",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
            "GET",
            Message.of([("Content-Length", "3")], b"", "HTTP/1.1 304 Not Modified"),
        ),
        (
            "after interim responses",
            f"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n{OK}\r\n\r\n",
            "",
            Message.of([], b"", OK, [100, 103]),
        ),
        (
            "chunks",
            f"{CHUNKED}1\r\na\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            "",
            Message.of([("Transfer-Encoding", "Chunked")], b"a0123456789", OK),
        ),
        (
            "chunks without an end",
            f"{OK}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\nc",
            "",
            Message.of([("Transfer-Encoding", "chunked")], b"abc", OK, is_whole=False),
        ),
        (
            "chunks between sizes",
            f"{OK}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            "",
            Message.of([("Transfer-Encoding", "chunked")], b"ab", OK, is_whole=False),
        ),
        (
            "chunk without a size",
            f"{OK}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n-1\r\nc\r\n",
            "",
            Message.of([("Transfer-Encoding", "chunked")], b"ab", OK, is_whole=False),
        ),
        (
            "request",
            "PUT /a?b HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
            "",
            Message.of([("Content-Length", "1")], b"x", "PUT /a?b HTTP/1.0"),
        ),
    ],
)
def test_a_message(data: str, asked: str, expected: Message | None) -> None:
    """All that was on the wire is there, and what was not is not."""
    assert read_message(data.encode("latin-1"), asked) == expected


@cases(
    "start_line version status",
    [
        ("response", OK, "HTTP/1.1", 200),
        ("old response", "HTTP/1.0 599 a b", "HTTP/1.0", 599),
        ("without a phrase", "HTTP/1.1 204", "HTTP/1.1", 204),
        ("request", "GET /HTTP/1.1 HTTP/1.0", "HTTP/1.0", None),
        ("unknown", "", "HTTP/1.1", None),
        ("not HTTP", "SSH-2.0-x", "HTTP/1.1", None),
    ],
)
def test_a_start_line(start_line: str, version: str, status: int | None) -> None:
    """It says which HTTP it is, and the status of a response."""
    message = Message.of([], start_line=start_line)
    assert (message.version, message.status) == (version, status)


def test_large_body() -> None:
    """Of a large body, a record has the beginning, the length and the digest."""
    body = b"x" * (MAX_RECORDED_BYTES + 1)
    message = Message.of([], body)
    assert (len(message.body), message.length) == (MAX_RECORDED_BYTES, len(body))
    other = Message.of([], body + b"y")
    assert message.body == other.body
    assert message.sha256 != other.sha256
    assert Message.of([]).sha256 == ""


def test_many_chunks() -> None:
    """A megabyte in chunks of seven bytes is read in one go through it."""
    head = f"{OK}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    count = 2**20 // 7
    message = read_message(head + b"7\r\n1234567\r\n" * count + b"0\r\n\r\n")
    assert message is not None
    assert (message.length, message.is_whole) == (7 * count, True)

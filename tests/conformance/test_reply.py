"""How the replies of a target are read from its connection."""

import pytest

from homeserver.conformance.reply import NotHttp, Reader

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

# (what arrived, whether the connection is closed, what is said of it)
PROBLEMS = [
    (b"SSH-2.0-x\r\n", False, "it is no HTTP: SSH-2.0-x"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**16, False, "more than 65536 bytes"),
    (b"HTTP/1.1 200 OK\r\n", True, "closed in the middle of a head"),
    (HEAD + b"{", True, "closed in the middle of a body"),
    (b"HTTP/1.1 OK\r\n\r\n", False, "no status line: HTTP/1.1 OK"),
    (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", False, "no header: no colon"),
]


@pytest.mark.parametrize(("data", "is_closed", "said"), PROBLEMS)
def test_what_is_no_reply(data: bytes, said: str, *, is_closed: bool) -> None:
    """A target that does not speak HTTP is told so; a head has an end."""
    reader = Reader()
    reader.buffer = data
    with pytest.raises(NotHttp, match=said):
        reader.read("GET", is_closed=is_closed)


def test_replies_in_pieces() -> None:
    """Replies come in any pieces, one after the other, after interim ones."""
    reader = Reader()
    found = []
    for byte in b"HTTP/1.1 100 Continue\r\n\r\n" + (HEAD + b"{}") * 2:
        reader.buffer += bytes([byte])
        reply = reader.read("PUT")
        if reply is not None:
            found.append((reply.status, reply.body, list(reply.interim)))
    assert found == [(200, b"{}", [100]), (200, b"{}", [])]
    assert reader.read("PUT", is_closed=True) is None


# (the head of a reply, whether it says that its connection ends)
LAST = [
    (b"HTTP/1.1 200 OK", False),
    (b"HTTP/1.1 200 OK\r\nConnection: keep-alive", False),
    (b"HTTP/1.1 200 OK\r\nCONNECTION: Close", True),
    (b"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nConnection: x ,close", True),
    (b"HTTP/1.0 200 OK", True),
    (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive", False),
]


@pytest.mark.parametrize(("head", "is_last"), LAST)
def test_whether_a_connection_is_kept(head: bytes, *, is_last: bool) -> None:
    """A version has its default, and a header may say otherwise."""
    reader = Reader()
    reader.buffer = head + b"\r\nContent-Length: 0\r\n\r\n"
    reply = reader.read("GET")
    assert reply is not None
    assert reply.is_last is is_last

"""HTTP messages as they were on the wire, read from copies of their bytes.

Rules: nothing is refused. What was sent wrongly, or not to its end, is what a record is
there to show.

Specification: RFC 9112.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

# Of a body in a record. The largest transaction is larger; its digest is of all of it.
MAX_RECORDED_BYTES = 2**20

Headers = Sequence[tuple[str, str]]

# Recipients take a line that ends without CR, too: RFC 9112, section 2.2.
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_END_OF_LINE = re.compile(r"\r?\n")

_STATUS = re.compile(r"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: .*)?", re.DOTALL)
_LENGTH = re.compile(r"[0-9]{1,18}")  # Python reads no number of any length
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")


class Message(Struct, frozen=True):
    """The headers and the body of a request or a response."""

    headers: Headers = ()
    body: bytes = b""
    """The first `MAX_RECORDED_BYTES` of it, without the framing of chunks."""

    length: int = 0
    """Of the whole body, in bytes."""

    sha256: str = ""
    """Of the whole body, in hexadecimal; empty without a body."""

    start_line: str = ""
    """The request line or the status line; empty if unknown."""

    is_whole: bool = True
    """Whether all of the body is there that the headers announce."""

    interim: Sequence[int] = ()
    """The statuses of the interim responses before it."""

    @classmethod
    def of(
        cls,
        headers: Headers,
        body: bytes = b"",
        start_line: str = "",
        interim: Sequence[int] = (),
        *,
        is_whole: bool = True,
    ) -> "Message":
        """A message with all that there is of its body."""
        digest = sha256(body).hexdigest() if body else ""
        kept = body[:MAX_RECORDED_BYTES]
        interim = tuple(interim)
        return cls(headers, kept, len(body), digest, start_line, is_whole, interim)

    @property
    def version(self) -> str:
        """Of HTTP, as in `HTTP/1.1`."""
        words = self.start_line.split(" ")
        return next((each for each in words if each.startswith("HTTP/")), "HTTP/1.1")

    @property
    def status(self) -> int | None:
        """That of a response; None for anything else."""
        return _status(self.start_line)


def read_message(data: bytes, asked: str = "") -> Message | None:
    """The message that some bytes begin with; None without a whole head.

    Interim responses before it are skipped. `asked` is the method of the request that a
    response answers.
    """
    interim: list[int] = []
    at = 0
    while True:
        end = _END_OF_HEAD.search(data, at)
        if end is None:
            return None
        head, at = data[at : end.start()], end.end()
        start_line, *lines = _END_OF_LINE.split(head.decode("latin-1"))
        status = _status(start_line)
        if status is None or status >= 200:
            break
        interim.append(status)
    headers = read_headers(lines)
    body, is_whole = _read_body(data[at:], headers)
    has_none = asked == "HEAD" or status in {204, 304}
    return Message.of(headers, body, start_line, interim, is_whole=has_none or is_whole)


def read_headers(lines: Sequence[str]) -> list[tuple[str, str]]:
    """The headers of lines, in their order and with their case."""
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in {" ", "\t"} and headers:  # it goes on; RFC 9112, section 5.2
            name, value = headers.pop()
            headers.append((name, f"{value} {line.strip()}"))
        else:
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
    return headers


def _status(start_line: str) -> int | None:
    found = _STATUS.fullmatch(start_line)
    return None if found is None else int(found[1])


def _read_body(data: bytes, headers: Headers) -> tuple[bytes, bool]:
    """The body, and whether it is all that the headers announce."""
    named = {name.lower(): value for name, value in headers}
    if named.get("transfer-encoding", "").lower() == "chunked":
        return _join_chunks(data)
    length = _LENGTH.fullmatch(named.get("content-length", ""))
    return data, length is None or len(data) >= int(length[0])


def _join_chunks(data: bytes) -> tuple[bytes, bool]:
    parts, at = list[bytes](), 0
    while (end := data.find(b"\r\n", at)) >= 0:
        size = _SIZE.match(data, at)
        if size is None:
            break
        at = end + 2
        length = int(size[0], 16)
        if length == 0:
            return b"".join(parts), True
        parts.append(data[at : at + length])
        at += length + 2
    return b"".join(parts), False

"""Replies of the target, and how they are read from the bytes of a connection.

Rules: pure. Everything about a reply may be wrong: what is no HTTP is `NotHttp`, and
what is no JSON has no members.

Specification: RFC 9112; Server-server API, "API standards".
"""

import re
from collections.abc import Awaitable, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from homeserver.conformance.outcome import (
    Late,
    NoAnswer,
    NotTestable,
    Outcome,
    expect,
    unmet,
)
from homeserver.protocol.canonical_json import Json

UNPROVEN = (401, 403)
"""The statuses of what is not proven: the text fixes one for a wrong destination alone,
and HTTP has two for credentials that are not enough."""

MAX_BYTES = 32 * 2**20  # of a reply; the state of a large room has a few megabytes
_MAX_HEAD = 64 * 1024

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: .*)?")
_PAUSE = 1.0  # seconds, where a limit does not say for how long it holds
_MAX_SHOWN = 200  # characters of a text of the target, in a line of a report


class NotHttp(ValueError):
    """What came is no response of HTTP/1.x."""


class Reply(Struct, frozen=True):
    """A reply to one request."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    seconds: float = 0.0
    interim: Sequence[int] = ()
    """The statuses of 1xx responses before it."""

    version: str = "1.1"
    """Of HTTP."""

    def header(self, name: str) -> str | None:
        """The first header of a name; None without one."""
        low = name.lower()
        return next((v for n, v in self.headers if n.lower() == low), None)

    @property
    def is_last(self) -> bool:
        """Whether it says that no other one follows on its connection."""
        named = [v.lower() for n, v in self.headers if n.lower() == "connection"]
        options = {each.strip() for value in named for each in value.split(",")}
        is_kept = self.version != "1.0" or "keep-alive" in options
        return "close" in options or not is_kept

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in small letters."""
        return (self.header("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def content(self) -> object:
        """Its JSON; None where it is none."""
        try:
            found: object = msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        return found

    @property
    def json(self) -> Json:
        """Its JSON object; empty where it is none."""
        content = self.content
        return cast("Json", content) if isinstance(content, dict) else {}

    @property
    def is_object(self) -> bool:
        """Whether it is a JSON object."""
        return isinstance(self.content, dict)

    @property
    def errcode(self) -> str | None:
        """The `errcode`, if it is a text."""
        found = self.json.get("errcode")
        return found if isinstance(found, str) else None

    @property
    def is_ok(self) -> bool:
        """Whether the request was taken."""
        return self.status == 200

    @property
    def is_limited(self) -> bool:
        """Whether it came too soon after others: 429."""
        return self.status == 429

    @property
    def pause(self) -> float:
        """For how many seconds nothing is to be asked, after 429."""
        wait_ms, header = self.json.get("retry_after_ms"), self.header("Retry-After")
        if header is not None and header.isascii() and header.isdigit():
            return float(header)
        return wait_ms / 1000 if type(wait_ms) is int and wait_ms >= 0 else _PAUSE

    @property
    def is_refusal(self) -> bool:
        """Whether it blames the request: 4xx."""
        return 400 <= self.status < 500

    @property
    def is_failure(self) -> bool:
        """Whether it blames the target: 5xx."""
        return self.status >= 500

    def __str__(self) -> str:
        if 200 <= self.status < 300:
            return f"status {self.status}"
        why = self.json.get("error")
        text = why if isinstance(why, str) else self.body.decode("utf-8", "replace")
        parts = [f"status {self.status}", self.errcode or "no errcode"]
        return ": ".join([" ".join(parts), shown(text)] if text else [" ".join(parts)])


def shown(text: str) -> str:
    """A text of the target, in a line of a report."""
    clean = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return clean if len(clean) <= _MAX_SHOWN else f"{clean[:_MAX_SHOWN]}..."


def present(reply: Reply) -> Reply:
    """A reply of a route that is there; raises `NotTestable`."""
    if reply.status in {404, 405} and reply.errcode == "M_UNRECOGNIZED":
        raise NotTestable(f"the target has no such route: {reply}")
    return reply


def unlimited(reply: Reply) -> Reply:
    """A reply that did not come too soon after others; raises `NotTestable`."""
    if reply.is_limited:
        raise NotTestable(
            f"the target limits requests ({reply}): let it allow more, slow down with "
            "--polite and --jobs 1, or name more users with --user"
        )
    return reply


def status(reply: Reply, *wanted: int) -> Outcome:
    """Whether a reply has one of the statuses."""
    names = " or ".join(map(str, wanted))
    return expect(reply.status in wanted, reply, wanted=f"status {names}")


def accepted(reply: Reply) -> Outcome:
    """Whether a request was taken."""
    return status(reply, 200)


def not_authenticated(reply: Reply) -> Outcome:
    """Whether a request was refused for its signature."""
    return status(reply, *UNPROVEN)


def refused(reply: Reply, *errcodes: str) -> Outcome:
    """Whether a request was refused by any 4xx, with one of the codes if any are."""
    wanted = " or ".join(errcodes)
    is_met = reply.is_refusal and (not errcodes or reply.errcode in errcodes)
    return expect(is_met, reply, wanted=f"a status 4xx {wanted}".strip())


def answered(reply: Reply, wanted: int, errcode: str) -> Outcome:
    """Whether a reply has a status and an error code."""
    is_met = (reply.status, reply.errcode) == (wanted, errcode)
    return expect(is_met, reply, wanted=f"status {wanted} {errcode}")


def no_failure(reply: Reply) -> Outcome:
    """Whether the target did not fail by the request, whatever else it said."""
    return expect(not reply.is_failure, reply, wanted="any status but 5xx")


async def ended(asked: Awaitable[Reply]) -> Outcome:
    """Whether a request came to an end: by any answer, or by a closed connection."""
    try:
        reply = await asked
    except Late as problem:
        return unmet(problem, wanted="an answer, or a closed connection")
    except NoAnswer as problem:
        return Outcome(is_met=True, observed=str(problem))
    return no_failure(reply)


class Reader:
    """Reads the replies of a connection, one after the other."""

    def __init__(self) -> None:
        self.buffer = b""
        self._interim: list[int] = []

    def read(self, method: str, *, is_closed: bool = False) -> Reply | None:
        """The next reply, to a request of `method`; None while it is not complete.

        Raises `NotHttp`; also for a connection that was closed too early.
        """
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                self._check_incomplete(is_closed=is_closed)
                return None
            version, code, headers = _read_head(self.buffer[:end])
            if code >= 200 or code == 101:
                break
            self._interim.append(code)
            self.buffer = self.buffer[end + 4 :]
        body, rest = _read_body(
            self.buffer[end + 4 :], headers, code, method, is_closed=is_closed
        )
        if body is None:
            if is_closed:
                raise NotHttp("the connection was closed in the middle of a body")
            return None
        self.buffer = rest
        interim, self._interim = self._interim, []
        return Reply(code, headers, body, interim=interim, version=version)

    def _check_incomplete(self, *, is_closed: bool) -> None:
        start = self.buffer[:8]
        if start and not b"HTTP/1.".startswith(start[:7]):
            raise NotHttp(f"it is no HTTP: {shown(self.buffer[:80].decode('latin-1'))}")
        if len(self.buffer) > _MAX_HEAD:
            raise NotHttp(f"the head has more than {_MAX_HEAD} bytes")
        if is_closed and self.buffer:
            raise NotHttp("the connection was closed in the middle of a head")


def _read_head(head: bytes) -> tuple[str, int, list[tuple[str, str]]]:
    first, *lines = head.split(b"\r\n")
    found = _STATUS.fullmatch(first)
    if found is None:
        raise NotHttp(f"no status line: {shown(first.decode('latin-1'))}")
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise NotHttp(f"no header: {shown(line.decode('latin-1'))}")
        headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
    return f"1.{int(found[1])}", int(found[2]), headers


def _read_body(
    data: bytes,
    headers: Sequence[tuple[str, str]],
    code: int,
    method: str,
    *,
    is_closed: bool,
) -> tuple[bytes | None, bytes]:
    """The body and what follows it; None while it is not complete."""
    named = {name.lower(): value for name, value in headers}
    if method == "HEAD" or code in {204, 304}:
        return b"", data
    if named.get("transfer-encoding", "").lower() == "chunked":
        return _read_chunks(data)
    length = named.get("content-length")
    if length is None:
        return (data, b"") if is_closed else (None, data)
    if not (length.isascii() and length.isdigit() and len(length) < 15):
        raise NotHttp(f"Content-Length is {shown(length)}")
    size = int(length)
    return (data[:size], data[size:]) if len(data) >= size else (None, data)


def _read_chunks(data: bytes) -> tuple[bytes | None, bytes]:
    parts: list[bytes] = []
    while True:
        line, end, rest = data.partition(b"\r\n")
        if not end:
            return None, data
        size_text = line.partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size_text):
            raise NotHttp(f"no size of a chunk: {shown(line.decode('latin-1'))}")
        size = int(size_text, 16)
        if size == 0:
            _, end, rest = (b"\r\n" + rest).partition(b"\r\n\r\n")
            return (b"".join(parts), rest) if end else (None, data)
        if len(rest) < size + 2:
            return None, data
        parts.append(rest[:size])
        data = rest[size + 2 :]

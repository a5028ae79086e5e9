"""A server's no, and what can be read of it.

Rules of the room: what a peer says is text to be quoted, or it is of a form that
nothing but itself can have. An answer that cannot be read is a no all the same.

Specification: Client-server API, "Standard error response" and "Rate limiting"; RFC
9110, section 10.2.3.
"""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from twisted.web.http_headers import Headers

from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.errors import Explanation, ProtocolError, quote
from homeserver.protocol.identifiers import ServerName

# Longer than any errcode there is; those of proposals have dots.
_ERRCODE = re.compile(r"[A-Za-z0-9_.]{1,80}")

# Of the reason that a server gives: those of the most used server have up to 300
# characters, and what they are about stands last.
_MAX_REASON = 500

# Too Many Requests, and Service Unavailable.
_BUSY_STATUSES = frozenset({429, 503})


class Refused(Exception):
    """A server answered, and its answer is no."""

    def __init__(
        self,
        destination: ServerName,
        status: int,
        errcode: str | None,
        why: str,
        *,
        reply: Json | None = None,
        retry_after: float = 0.0,
    ) -> None:
        """`retry_after` is how many seconds it wants to be left alone."""
        said = f"{errcode}: {why}" if errcode else why
        super().__init__(f"{destination} answers {status} {said}".rstrip())
        self.destination = destination
        self.status = status
        self.errcode = errcode
        self.reply = reply
        self.retry_after = retry_after

    @property
    def explanation(self) -> Explanation:
        """The same for two readers; a peer does not learn what the server wrote."""
        said = f"{self.destination} answers {self.status} {self.errcode or ''}"
        return Explanation(said.rstrip(), str(self))

    @property
    def is_unrecognized(self) -> bool:
        """Whether the server has no such route, rather than a problem with it."""
        return self.status == 404 or self.errcode == "M_UNRECOGNIZED"

    @property
    def is_about_path(self) -> bool:
        """Whether the server does not know the path; the content was not looked at.

        Servers of 2014 say it without an errcode, and so does what is no homeserver.
        """
        return self.status == 400 and self.errcode in {None, "M_UNRECOGNIZED"}

    @property
    def is_final(self) -> bool:
        """Whether the server will never take this content."""
        return self.status == 413 or (self.status == 400 and not self.is_about_path)


def read_refusal(
    destination: ServerName, status: int, body: bytes, retry_after: float = 0.0
) -> Refused:
    """The refusal that an answer is; `retry_after` as of `Refused`."""
    try:
        reply = parse_object(body)
    except ProtocolError:
        said = quote(body) if body else ""
        return Refused(destination, status, None, said, retry_after=retry_after)
    errcode, why = reply.get("errcode"), reply.get("error")
    if status in _BUSY_STATUSES and not retry_after:
        retry_after = _milliseconds(reply.get("retry_after_ms")) / 1000
    return Refused(
        destination,
        status,
        # An errcode is shown as it is if it can be one.
        errcode if isinstance(errcode, str) and _ERRCODE.fullmatch(errcode) else None,
        quote(why, _MAX_REASON) if isinstance(why, str) else "",
        reply=reply,
        retry_after=retry_after,
    )


def _milliseconds(value: object) -> float:
    """What `retry_after_ms` of a body says; 0 for what is no number of milliseconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return max(0.0, value)


def retry_after(status: int, headers: Headers, now: float) -> float:
    """For how many seconds a busy server wants to be left alone; 0 if it says nothing.

    It says it in seconds, or with a date.
    """
    values = headers.getRawHeaders(b"Retry-After", [])
    if status not in _BUSY_STATUSES or len(values) != 1:
        return 0.0
    text = values[0].decode("ascii", "replace").strip()
    if text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        date = date.replace(tzinfo=date.tzinfo or UTC)  # there is no other in HTTP
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0  # it is not a date either

"""The error response of another server.

Rules: text of a peer is quoted, and an errcode is checked for its form. A response that
cannot be parsed is an error response as well.

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

# Longer than any known errcode; those of proposals have dots.
_ERRCODE = re.compile(r"[A-Za-z0-9_.]{1,80}")

# Of the `error` text: those of Synapse have up to 300 characters, and the important
# part comes last.
_MAX_REASON = 500

# Too Many Requests, and Service Unavailable.
_BUSY_STATUSES = frozenset({429, 503})

# Synapse of 2014 says this for a path that it does not know, with 400 and no errcode.
_UNRECOGNIZED_2014 = "Unrecognized request"


class Refused(Exception):
    """A server answered with an error response."""

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
        """`retry_after` is the number of seconds that the server asks to wait."""
        said = ": ".join(each for each in (errcode, why) if each)
        super().__init__(f"{destination} answers {status} {said}".rstrip())
        self.destination = destination
        self.status = status
        self.errcode = errcode
        self.reply = reply
        self.retry_after = retry_after

    @property
    def explanation(self) -> Explanation:
        """For peers without the text of the server, for the operator with it."""
        said = f"{self.destination} answers {self.status} {self.errcode or ''}"
        return Explanation(said.rstrip(), str(self))

    @property
    def is_unrecognized(self) -> bool:
        """Whether the server has no such route."""
        if self.status == 404 or self.errcode == "M_UNRECOGNIZED":
            return True
        error = None if self.reply is None else self.reply.get("error")
        return self.is_about_path and error == _UNRECOGNIZED_2014

    @property
    def is_of_unknown_route(self) -> bool:
        """Whether the server has no such route, and does not mean what the path names.

        `is_unrecognized` also takes a 404 about a room for that.
        """
        if self.status in {404, 405}:
            return self.reply is None or self.errcode == "M_UNRECOGNIZED"
        return self.is_unrecognized

    @property
    def is_about_path(self) -> bool:
        """Whether the server does not know the path and did not read the content.

        Servers of 2014, and servers that are no homeservers, send no errcode then.
        """
        return self.status == 400 and self.errcode in {None, "M_UNRECOGNIZED"}

    @property
    def is_final(self) -> bool:
        """Whether the server rejects this content for ever."""
        return self.status == 413 or (self.status == 400 and not self.is_about_path)


def read_refusal(
    destination: ServerName, status: int, body: bytes, retry_after: float = 0.0
) -> Refused:
    """Parse an error response; `retry_after` is as in `Refused`."""
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
        # Only a valid errcode is shown without quotes.
        errcode if isinstance(errcode, str) and _ERRCODE.fullmatch(errcode) else None,
        quote(why, _MAX_REASON) if isinstance(why, str) else "",
        reply=reply,
        retry_after=retry_after,
    )


def _milliseconds(value: object) -> float:
    """The value of `retry_after_ms` in a body; 0 if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return max(0.0, value)


def retry_after(status: int, headers: Headers, now: float) -> float:
    """The seconds in `Retry-After` of a busy server; 0 without that header.

    The header has a number of seconds or a date.
    """
    values = headers.getRawHeaders(b"Retry-After", [])
    if status not in _BUSY_STATUSES or len(values) != 1:
        return 0.0
    text = values[0].decode("ascii", "replace").strip()
    if text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        date = date.replace(tzinfo=date.tzinfo or UTC)  # HTTP dates are in UTC
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0  # not a date

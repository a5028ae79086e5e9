"""Errors that a peer can make, each with its HTTP status and errcode.

Rules: the message says which rule was broken, in one sentence that an implementer can
act on. It never contains raw text of a peer: `quote` escapes and shortens it. Statuses
and errcodes: Server-server API, "Errors" and "Request Authentication".
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from msgspec import Struct

_MAX_PLAIN = 108  # a key ID of the longest version that is accepted


class _Missing:
    """The type of `MISSING`."""


MISSING = _Missing()
"""In place of the value of a member that is not there, which null is not."""


def quote(value: object, limit: int = 80) -> str:
    """A peer's value, safe to show: escaped, and at most `limit` characters of it.

    Text and bytes are shown in quotes, any other value as JSON, `MISSING` as a word.
    """
    if value is MISSING:
        return "missing"
    if isinstance(value, bytes):
        text = repr(value[:limit])[1:]  # without the `b`
    elif isinstance(value, str):
        text = repr(value[:limit])
    else:
        text = json.dumps(value, default=repr)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def listed(names: Iterable[str], most: int = 5) -> str:
    """At most `most` names in order, safe to show; `none` if there are none."""
    ordered = sorted(names)
    shown = [name if _is_plain(name) else quote(name) for name in ordered[:most]]
    if len(ordered) > most:
        shown.append(f"{len(ordered) - most} more")
    return ", ".join(shown) or "none"


def _is_plain(name: str) -> bool:
    return len(name) <= _MAX_PLAIN and name.isprintable()


def printable(text: str) -> str:
    """`text` with each unprintable character escaped, terminal controls included."""
    if text.isprintable():
        return text  # the usual case, and much faster than the loop
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class Explanation(Struct, frozen=True):
    """Why something failed, in a version for peers and one for the operator."""

    public: str
    """For a peer: which check failed, without results from internal addresses."""

    in_full: str
    """For the operator: every detail."""

    @staticmethod
    def plain(text: str) -> "Explanation":
        """The same text for both."""
        return Explanation(text, text)

    def after(self, before: str) -> "Explanation":
        """The explanation with a prefix that both may read."""
        return Explanation(before + self.public, before + self.in_full)

    def then(self, other: "Explanation") -> "Explanation":
        """Both explanations, joined by a semicolon."""
        return Explanation(
            f"{self.public}; {other.public}", f"{self.in_full}; {other.in_full}"
        )


class ProtocolError(Exception):
    """A peer broke a rule of the protocol; `str()` says which and how."""

    status: ClassVar[int] = 400
    errcode: ClassVar[str] = "M_UNKNOWN"

    members: Mapping[str, str] = {}
    """What the error response has beside its code and its reason."""

    def __init__(self, why: str = "", in_full: str | None = None) -> None:
        """`why` is for the peer; `in_full` for the operator, if it has more detail."""
        super().__init__(why)
        self.explanation = Explanation(why, why if in_full is None else in_full)


class NotJson(ProtocolError):
    """The text is not JSON."""

    errcode = "M_NOT_JSON"


class BadJson(ProtocolError):
    """JSON whose structure or values the specification does not allow."""

    errcode = "M_BAD_JSON"


class MissingParam(ProtocolError):
    """A required parameter is missing."""

    errcode = "M_MISSING_PARAM"


class InvalidParam(ProtocolError):
    """A name, an ID or a parameter does not match its grammar."""

    errcode = "M_INVALID_PARAM"


class IncompatibleRoomVersion(ProtocolError):
    """The room has a version that the other server, or this one, does not know."""

    errcode = "M_INCOMPATIBLE_ROOM_VERSION"

    def __init__(self, why: str, room_version: str) -> None:
        super().__init__(why)
        self.members = {"room_version": room_version}


class BadAuthorization(ProtocolError):
    """An X-Matrix header does not match its grammar, or names an invalid server."""

    errcode = "M_UNAUTHORIZED"


class Unauthorized(ProtocolError):
    """The requesting server is not authenticated."""

    status = 401
    errcode = "M_UNAUTHORIZED"


class UnknownToken(ProtocolError):
    """An access token is not one that was issued here."""

    status = 401
    errcode = "M_UNKNOWN_TOKEN"


class Forbidden(ProtocolError):
    """The requesting server is authenticated, and not allowed to do this."""

    status = 403
    errcode = "M_FORBIDDEN"


class NotFound(ProtocolError):
    """The requested object does not exist here."""

    status = 404
    errcode = "M_NOT_FOUND"


class Unrecognized(ProtocolError):
    """The path is not that of a route."""

    status = 404
    errcode = "M_UNRECOGNIZED"


class MethodNotAllowed(ProtocolError):
    """The path is known, but not with this method."""

    status = 405
    errcode = "M_UNRECOGNIZED"

    def __init__(self, why: str, allowed: Sequence[str] = ()) -> None:
        """`allowed` are the methods of the path."""
        super().__init__(why)
        self.allowed = allowed


class TooLarge(ProtocolError):
    """More bytes or items than the limit allows."""

    status = 413
    errcode = "M_TOO_LARGE"


class NoServerHelps(ProtocolError):
    """Other servers, which had to be asked, did not answer or gave no usable answer."""

    status = 502


class RequestTimeout(ProtocolError):
    """A request did not arrive completely within the time limit."""

    status = 408


class LimitExceeded(ProtocolError):
    """The client exceeds a limit of its own; a later retry may succeed."""

    status = 429
    errcode = "M_LIMIT_EXCEEDED"

    def __init__(self, why: str, retry_after: int) -> None:
        """`retry_after`: seconds after which to retry."""
        super().__init__(why)
        self.retry_after = retry_after


class Overloaded(LimitExceeded):
    """The server as a whole is at a limit; a later retry may succeed."""

    status = 503

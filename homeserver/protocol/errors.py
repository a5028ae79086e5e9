"""What a peer can do wrong, each with the HTTP status and errcode it deserves.

Rules of the room: an error says *why*, in one sentence that an implementer can act
on. It never carries the peer's raw text: `quote` escapes and shortens it. Statuses
and errcodes: Server-server API, "Errors" and "Request Authentication".
"""

from typing import ClassVar

from msgspec import Struct


def quote(value: object, limit: int = 80) -> str:
    """Peer's text made safe to show: escaped, and at most `limit` characters of it."""
    text = repr(value[:limit] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def printable(text: str) -> str:
    """`text` with each character escaped that a terminal would obey."""
    if text.isprintable():
        return text  # nearly always, and sooner seen than done character by character
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class Explanation(Struct, frozen=True):
    """Why something failed, for two readers."""

    public: str
    """For a peer: which check failed, and nothing of what some address did."""

    in_full: str
    """For the operator."""

    @staticmethod
    def plain(text: str) -> "Explanation":
        """One text for both."""
        return Explanation(text, text)

    def after(self, before: str) -> "Explanation":
        """The same, told after something that both may read."""
        return Explanation(before + self.public, before + self.in_full)

    def then(self, other: "Explanation") -> "Explanation":
        """Both, one after the other."""
        return Explanation(
            f"{self.public}; {other.public}", f"{self.in_full}; {other.in_full}"
        )


class ProtocolError(Exception):
    """A peer broke a rule of the protocol; `str()` of it says which and how."""

    status: ClassVar[int] = 400
    errcode: ClassVar[str] = "M_UNKNOWN"

    def __init__(self, why: str = "", in_full: str | None = None) -> None:
        """`why` is for the peer, `in_full` for the operator, where that says more."""
        super().__init__(why)
        self.explanation = Explanation(why, why if in_full is None else in_full)


class NotJson(ProtocolError):
    """Text that had to be JSON and is not."""

    errcode = "M_NOT_JSON"


class BadJson(ProtocolError):
    """JSON of another shape, or with other values, than the specification allows."""

    errcode = "M_BAD_JSON"


class MissingParam(ProtocolError):
    """A parameter that has to be there and is not."""

    errcode = "M_MISSING_PARAM"


class InvalidParam(ProtocolError):
    """A name, an ID or a parameter that breaks its grammar."""

    errcode = "M_INVALID_PARAM"


class BadAuthorization(ProtocolError):
    """An X-Matrix header that breaks its grammar, or names an impossible origin."""

    errcode = "M_UNAUTHORIZED"


class Unauthorized(ProtocolError):
    """Who asks has not been proven."""

    status = 401
    errcode = "M_UNAUTHORIZED"


class Forbidden(ProtocolError):
    """Who asks is known, and may not."""

    status = 403
    errcode = "M_FORBIDDEN"


class NotFound(ProtocolError):
    """What was asked for is not here."""

    status = 404
    errcode = "M_NOT_FOUND"


class Unrecognized(ProtocolError):
    """There is no such route."""

    status = 404
    errcode = "M_UNRECOGNIZED"


class MethodNotAllowed(ProtocolError):
    """There is such a route, but not with this method."""

    status = 405
    errcode = "M_UNRECOGNIZED"


class TooLarge(ProtocolError):
    """More bytes or more items than the limit."""

    status = 413
    errcode = "M_TOO_LARGE"


class RequestTimeout(ProtocolError):
    """A request that began and did not end in time."""

    status = 408


class LimitExceeded(ProtocolError):
    """Too much at once; the same request may succeed later."""

    status = 429
    errcode = "M_LIMIT_EXCEEDED"

    def __init__(self, why: str, retry_after: int) -> None:
        """It may after `retry_after` seconds."""
        super().__init__(why)
        self.retry_after = retry_after


class Overloaded(LimitExceeded):
    """There is no room for it, whoever asks; the same request may succeed later."""

    status = 503

"""Why a connection or a request failed, as a phrase for the operator.

Rules: text of a peer is quoted, and shortened.
"""

from OpenSSL import SSL
from twisted.internet import defer, error

from homeserver.net.system_errors import in_words
from homeserver.net.twisted_private import ParseError
from homeserver.protocol.errors import quote


def describe(problem: Exception) -> str:
    """A failure of a connection or a request, as a phrase for the operator."""
    reasons = getattr(problem, "reasons", None)  # of ResponseFailed and its like
    if reasons:
        return describe(reasons[0].value)
    if isinstance(
        problem, (defer.TimeoutError, defer.CancelledError, error.TimeoutError)
    ):
        return "no answer in time"
    if isinstance(problem, (error.ConnectionDone, error.ConnectionLost)):
        return "the peer ended the connection"
    if isinstance(problem, ParseError):
        return f"it is not HTTP: {quote(problem.data)}"
    text = _reason_of(problem) or in_words(problem)
    # Twisted's parse errors contain the bad line.
    return text if len(text) <= 200 and text.isprintable() else quote(text)


def _reason_of(error: Exception) -> str:
    """What OpenSSL says is wrong, without its lists of Python; empty if nothing."""
    if not isinstance(error, SSL.Error) or not error.args:
        return ""
    # `[(library, function, reason)]`, the first one the cause.
    reasons = error.args[0]
    if not isinstance(reasons, list):
        return ""
    return "; ".join(str(reason) for *_, reason in reasons)

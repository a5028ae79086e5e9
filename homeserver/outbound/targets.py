"""The paths of requests to other servers, in forms that servers since 2014 accept.

Rules: a step is one segment of the path, whatever characters it has. The characters of
Matrix IDs are not percent-encoded, because servers of 2014 compare encoded paths.

Specification: RFC 3986, section 3.3; Server-server API.
"""

from urllib.parse import quote as percent_encode

_FEDERATION = "/_matrix/federation/v1"

FEDERATION_V2 = "/_matrix/federation/v2"
"""The base of the routes of version 2."""

TRANSACTION_ROUTE = f"{_FEDERATION}/send/{{txnId}}"
"""The template of the path of transactions."""

# Allowed in a segment by RFC 3986: `!room:server`, `@user:server`, `$event`.
_LITERAL = "!:@$"


def federation_target(*steps: str, slash: bool = False, base: str = _FEDERATION) -> str:
    """The path of a federation route; `slash` ends it with a slash, as in 2014.

    `base` is that of version 1, or `FEDERATION_V2`.
    """
    segments = [percent_encode(step, safe=_LITERAL) for step in steps]
    return "/".join([base, *segments]) + ("/" if slash else "")


def transaction_target(txn_id: str, *, slash: bool = False) -> str:
    """The path to PUT a transaction to."""
    return federation_target("send", txn_id, slash=slash)

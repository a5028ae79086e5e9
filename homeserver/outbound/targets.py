"""The paths of requests to other servers, in forms that servers since 2014 accept.

Rules: a step is one segment of the path, whatever characters it has. The characters of
Matrix IDs are not percent-encoded, because servers of 2014 compare encoded paths.

Specification: RFC 3986, section 3.3; Server-server API.
"""

from urllib.parse import quote as percent_encode

from homeserver.protocol.federation_paths import V1

TRANSACTION_ROUTE = f"{V1}/send/{{txnId}}"
"""The template of the path of transactions."""

# Allowed in a segment by RFC 3986: `!room:server`, `@user:server`, `$event`.
_LITERAL = "!:@$"


def federation_target(*steps: str, slash: bool = False, base: str = V1) -> str:
    """The path of a federation route; `slash` ends it with a slash, as in 2014.

    `base` is `V1` or `V2` of `federation_paths`.
    """
    segments = [percent_encode(step, safe=_LITERAL) for step in steps]
    return "/".join([base, *segments]) + ("/" if slash else "")


def transaction_target(txn_id: str, *, slash: bool = False) -> str:
    """The path to PUT a transaction to."""
    return federation_target("send", txn_id, slash=slash)

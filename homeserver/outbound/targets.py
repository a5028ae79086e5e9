"""The paths of requests to other servers, in the forms that servers since 2014 take.

Rules: a step is one segment of the path, whatever it consists of. The characters that
Matrix IDs consist of stay as they are: servers of 2014 compare paths before they are
decoded.

Specification: RFC 3986, section 3.3; Server-server API.
"""

from urllib.parse import quote as percent_encode

_FEDERATION = "/_matrix/federation/v1"

# Allowed in a segment by RFC 3986: `!room:server`, `@user:server`, `$event`.
_LITERAL = "!:@$"


def federation_target(*steps: str, slash: bool = False) -> str:
    """The path of a federation route; `slash` ends it with one, as in 2014."""
    segments = [percent_encode(step, safe=_LITERAL) for step in steps]
    return "/".join([_FEDERATION, *segments]) + ("/" if slash else "")


def transaction_target(txn_id: str, *, slash: bool = False) -> str:
    """The path that a transaction is put at."""
    return federation_target("send", txn_id, slash=slash)

"""The target of a request: its path and query, and its authority.

Rules: the signature covers path and query, in whichever form the target is sent. An
authority in the target replaces `Host`, so the two are never compared.

Specification: RFC 9112, section 3.2; RFC 9110, section 7.2; Server-server API,
"Request Authentication".
"""

import re
from collections.abc import Sequence

from homeserver.protocol.errors import ProtocolError, quote

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)

# RFC 3986, `host [":" port]`. User information before it is an error (RFC 9110, 4.2.4).
_AUTHORITY = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::[0-9]*)?"
)


def read_target(
    target: bytes, hosts: Sequence[bytes], version: bytes
) -> tuple[bytes, bytes | None]:
    """Path and query of a request's target, and the authority that the target names.

    `hosts` are the values of the request's `Host` headers, `version` is that of HTTP.
    The authority is None where the target has none. Raises `ProtocolError` (400) for a
    `Host` that is missing in HTTP/1.1, comes twice or cannot be one, and for a URL
    without a host. An empty `Host` is valid.
    """
    if len(hosts) > 1:
        raise ProtocolError(f"the request has {len(hosts)} Host headers")
    if hosts and hosts[0] and _AUTHORITY.fullmatch(hosts[0]) is None:
        raise ProtocolError(f"the Host header names no host: {quote(hosts[0])}")
    if not hosts and version == b"HTTP/1.1":
        raise ProtocolError("the request has no Host header, which HTTP/1.1 demands")
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return target, None
    authority, target = absolute.groups()
    if _AUTHORITY.fullmatch(authority) is None:
        raise ProtocolError(f"the target is a URL of no host: {quote(authority)}")
    return target if target.startswith(b"/") else b"/" + target, authority

"""Requests that the target made of servers of ours, and whether they are sound.

Rules: read from the record, where they are as they were on the wire.

Specification: Server-server API, "Request Authentication".
"""

from homeserver.conformance.reply import shown
from homeserver.conformance.seen import headers_of
from homeserver.conformance.their_events import Keys
from homeserver.net.exchange import Exchange
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix import Authorization, FederationRequest


def content_of(request: Exchange) -> Json:
    """The JSON object of its body; empty where it has none."""
    details = request.details
    try:
        return {} if details is None else parse_object(details.request.body)
    except ProtocolError:
        return {}


def is_signed(request: Exchange) -> bool:
    """Whether it claims to be signed."""
    return bool(headers_of(request, "Authorization"))


def problem_in(request: Exchange, target: ServerName, keys: Keys) -> str | None:
    """What is wrong with a signed request of the target; None if nothing is."""
    where = f"{request.method} {shown(request.path)}"
    details = request.details
    if details is None:
        return f"{where}: not recorded"
    ours = ServerName.parse(request.server)
    try:
        headers = headers_of(request, "Authorization")
        authorizations = [Authorization.parse(each) for each in headers]
        body = details.request.body
        FederationRequest(
            request.method,
            details.target,
            target,
            ours,
            parse_object(body) if body else None,
        ).verify(authorizations, keys)
    except ProtocolError as problem:
        return f"{where}: {problem}"
    if any(each.origin != target for each in authorizations):
        return f"{where}: its origin is another server"
    if any(each.destination != ours for each in authorizations):
        return f"{where}: its destination is not {ours}"
    if "%25" in details.target:
        return f"{where}: its path was escaped twice"
    return None

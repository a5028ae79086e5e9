"""A server of the test's, known to a daemon by its key, which asks it about rooms."""

from typing import Any

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from scripts.processes import Endpoint
from tests.support.http_connection import request
from tests.support.raw_client import talking
from tests.support.signed_requests import THEM

BOB = f"@bob:{THEM.server_name}"


def ask(
    endpoint: Endpoint, method: str, target: str, content: Json | None = None
) -> Any:
    """What the daemon answers the other server."""
    name = ServerName.parse(endpoint.name)
    header = THEM.authorize(method, target, content, destination=name)
    body = None if content is None else encode(content)
    with talking(endpoint.port) as talk:
        talk.send(request(method, target, [f"Authorization: {header}"], body))
        answer = talk.answer()
    assert answer.status == 200, answer.json
    return answer.json

"""A draft goes over the wire.

Rules: it goes over a verified connection, as all requests do. One with a name of its
own in SNI has a connection to itself, which is closed after it.
"""

from collections.abc import Callable

from msgspec import Struct

from homeserver.identity.identity import Identity
from homeserver.lab.spoil.draft import Draft
from homeserver.net.cause import OURSELVES
from homeserver.net.exchange import Exchange
from homeserver.outbound.agent import FederationAgent, OutgoingRequest
from homeserver.outbound.transport.connector import VerifiedConnection
from homeserver.outbound.transport.response import Response, read_body
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey

MAX_REPLY_BYTES = 13_107_200  # as much as a request to us may have


class Means(Struct, frozen=True):
    """What a server of ours sends with."""

    identity: Identity
    spare_key: Callable[[KeyId], SigningKey]
    """Its key for any ID, whether or not it publishes it."""

    agent: FederationAgent


async def transmit(
    draft: Draft,
    destination: ServerName,
    means: Means,
    exchange: Exchange,
    connected: Callable[[VerifiedConnection], object] = lambda _: None,
) -> tuple[Response, VerifiedConnection]:
    """Send a draft once, and read the response; raises as `FederationAgent.send`."""
    outgoing = outgoing_of(draft)

    def prepare(connection: VerifiedConnection) -> None:
        if draft.host is not None:
            outgoing.headers.setRawHeaders("Host", [draft.host])
        connected(connection)

    agent = means.agent if draft.sni is None else means.agent.asking_for(draft.sni)
    try:
        response, connection = await agent.send(
            destination, outgoing, OURSELVES, exchange, prepare
        )
        data = await read_body(response, MAX_REPLY_BYTES)
    finally:
        if agent is not means.agent:
            await agent.close()
    exchange.mark("body")
    exchange.status = response.code
    return Response(response.code, response.headers, data), connection


def outgoing_of(draft: Draft) -> OutgoingRequest:
    """The request as it goes out."""
    headers = draft.headers.copy()
    if draft.body is not None and not headers.hasHeader("Content-Type"):
        headers.setRawHeaders("Content-Type", ["application/json"])
    if not headers.hasHeader("Authorization"):
        for authorization in draft.authorizations():
            headers.addRawHeader("Authorization", authorization)
    return OutgoingRequest(
        draft.method.encode("ascii"), draft.target.encode("ascii"), headers, draft.body
    )

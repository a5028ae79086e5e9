"""The routes of the control API about known peers.

Rules: as in `control.routes`.
"""

from typing import TypeVar

from homeserver.control.parameters import PeerPage
from homeserver.control.peer_views import Peers, PeerView, Pin, ReportView, StillQueued
from homeserver.control.peers import PeerBook
from homeserver.control.reports import ReportBook
from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.protocol.errors import NotFound, quote
from homeserver.protocol.identifiers import ServerName, parse_fingerprint

_T = TypeVar("_T")

_Bare = Call[Nothing, Nothing]

_UNKNOWN = (NotFound,)


def peer_routes(book: PeerBook, reports: ReportBook) -> list[ControlRoute]:
    """What is known of peers, and what an operator may change of it."""

    async def list_peers(call: Call[PeerPage, Nothing]) -> Peers:
        """The known peers, by name and in pages."""
        query = call.query
        after = ServerName.parse(query.after) if query.after else None
        peers = await book.page(after, query.limit)
        is_last = not peers or len(peers) < query.limit
        return Peers(peers, None if is_last else peers[-1].server_name)

    async def describe(call: _Bare) -> PeerView:
        """What is known of a peer: how verified, pinned keys, queue, back-off."""
        name = call.server("name")
        return _known(await book.describe(name), name)

    async def report(call: _Bare) -> ReportView:
        """How a peer behaved towards us, with the first example of each mistake."""
        return await reports.report(call.server("name"))

    async def retry(call: _Bare) -> Nothing:
        """Reset the back-off of a peer, and forget its discovery results."""
        name = call.server("name")
        _known(await book.retry(name), name)
        return Nothing()

    async def forget(call: _Bare) -> StillQueued:
        """Forget how a peer was verified, its pins and keys, and its failures.

        What is queued for it stays, as what it sent and what was refused.
        """
        name = call.server("name")
        queued = await book.forget(name)
        if queued is None:
            raise _unknown(name)
        return StillQueued(queued)

    async def pin(call: Call[Nothing, Pin]) -> Nothing:
        """Trust a certificate of a peer by its fingerprint; delivery is retried."""
        fingerprint = parse_fingerprint(call.body.certificate_sha256)
        await book.pin(call.server("name"), fingerprint)
        return Nothing()

    one, pinned = "/v1/peers/{name}", "/v1/peers/{name}/pin"
    again = "/v1/peers/{name}/retry"
    return [
        route("GET", "/v1/peers", list_peers),
        route("GET", f"{one}/report", report),
        # As /v1/servers/{server}/report/{name}, it is the lab's usual question.
        route("GET", "/v1/report/{name}", report),
        route("GET", one, describe, errors=_UNKNOWN),
        route("POST", again, retry, errors=_UNKNOWN),
        route("DELETE", pinned, forget, errors=_UNKNOWN),
        route("PUT", pinned, pin),
    ]


def _known(found: _T | None, name: ServerName) -> _T:
    """What was found of a peer; `NotFound` if nothing was."""
    if not found:
        raise _unknown(name)
    return found


def _unknown(name: ServerName) -> NotFound:
    return NotFound(f"nothing is known of a peer {quote(name.name)}")

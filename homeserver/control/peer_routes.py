"""The routes of the control API about other servers.

Rules: as those of `control.api`.
"""

from collections.abc import Mapping
from typing import TypeVar

from twisted.web.resource import IResource

from homeserver.control.peers import PeerBook
from homeserver.http.request import Request
from homeserver.http.resource import Answer, JsonResource, Reply, json_reply
from homeserver.protocol.canonical_json import parse_object
from homeserver.protocol.errors import NotFound, quote
from homeserver.protocol.identifiers import ServerName

_T = TypeVar("_T")


def peer_tree(book: PeerBook) -> JsonResource:
    """`/v1/peers`."""

    async def list_peers(_: Request) -> Reply:
        return json_reply({"peers": await book.all()})

    return _Peers({b"GET": list_peers}, book)


class _Peers(JsonResource):
    """`/v1/peers`, and below it the peers by name."""

    def __init__(self, answers: Mapping[bytes, Answer], book: PeerBook) -> None:
        super().__init__(answers, "/v1/peers")
        self._book = book

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The peer called `path`, and below it what can be done to it."""
        if path == b"":
            return super().getChild(path, request)
        name = path.decode("utf-8", "replace")

        async def describe(_: Request) -> Reply:
            return json_reply(
                _known(await self._book.describe(ServerName.parse(name)), name)
            )

        async def retry(_: Request) -> Reply:
            _known(await self._book.retry(ServerName.parse(name)), name)
            return json_reply({})

        async def forget(_: Request) -> Reply:
            _known(await self._book.forget(ServerName.parse(name)), name)
            return json_reply({})

        async def pin(request: Request) -> Reply:
            body = b"" if request.content is None else request.content.read()
            await self._book.pin(ServerName.parse(name), parse_object(body))
            return json_reply({})

        peer = JsonResource({b"GET": describe}, "/v1/peers/{name}")
        peer.putChild(
            b"retry", JsonResource({b"POST": retry}, "/v1/peers/{name}/retry")
        )
        pins = JsonResource({b"DELETE": forget, b"PUT": pin}, "/v1/peers/{name}/pin")
        peer.putChild(b"pin", pins)
        return peer


def _known(found: _T | None, name: str) -> _T:
    """What was found of a peer; `NotFound` if nothing was."""
    if not found:
        raise NotFound(f"nothing is known of a peer {quote(name)}")
    return found

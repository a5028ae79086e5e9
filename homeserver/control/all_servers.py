"""The routes of one server, asked of all our servers together.

Rules: what is listed says which of our servers it belongs to (`server`). The IDs of
received transactions and of refusals are in one order for all our servers, so `after`
means the same as for one of them. Known peers are in the order of our servers' names,
and `after` names both: `OURS/PEER`. What changes something known of a peer changes it
for each of our servers that knows the peer.
"""

from collections.abc import Collection, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from homeserver.control.caches import CacheBook
from homeserver.control.each_server import OverAll
from homeserver.control.parameters import Page, PeerPage
from homeserver.control.peer_views import Peers, PeerView, ReportView, StillQueued
from homeserver.control.peers import PeerBook
from homeserver.control.reports import ReportBook, together
from homeserver.control.routes import show_refusal, show_transaction
from homeserver.control.routing import Call
from homeserver.control.views import Nothing, ReceivedPage, RefusedPage
from homeserver.inbound.refusal_queue import RefusalQueue
from homeserver.inbound.refusals import Refusals
from homeserver.net.cooperate import Pace
from homeserver.protocol.errors import InvalidParam, NotFound, ProtocolError, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.all_names import AllNames
from homeserver.storage.notifier import Changes

_Bare = Call[Nothing, Nothing]


class Shelf(Protocol):
    """The books of all our servers."""

    caches: CacheBook
    """Those of the process."""

    def find(self, name: ServerName, /) -> "Books | None":
        """The books of one of our servers; None for one that was removed meanwhile."""
        ...

    def observing(self, peer: ServerName, /) -> Collection[ServerName]:
        """Our names that remember something of a peer in memory."""
        ...


class Books(Struct, frozen=True):
    """What one of our servers knows."""

    refusals: Refusals
    peers: PeerBook
    reports: ReportBook


class AllServers:
    """Answers for all our servers."""

    def __init__(
        self,
        stored: AllNames,
        shelf: Shelf,
        received: Changes,
        refused: Changes,
        waiting: RefusalQueue,
        pace: Pace,
    ) -> None:
        """`received` and `refused` are the changes of all our servers."""
        self._stored = stored
        self._shelf = shelf
        self._find = shelf.find
        self._received = received
        self._refused = refused
        self._waiting = waiting
        self._pace = pace

    @property
    def answers(self) -> Mapping[tuple[str, str], OverAll]:
        """The answer for all servers, by the method and the template of a route."""
        peer = "/v1/peers/{name}"
        return {
            ("GET", "/v1/received"): self._list_received,
            ("GET", "/v1/refused"): self._list_refused,
            ("GET", "/v1/peers"): self._list_peers,
            ("GET", peer): self._describe,
            ("GET", f"{peer}/report"): self._report,
            ("GET", "/v1/report/{name}"): self._report,
            ("POST", f"{peer}/retry"): self._retry,
            ("DELETE", f"{peer}/pin"): self._forget,
        }

    async def _list_received(self, call: Call[Page, Nothing]) -> ReceivedPage:
        page = call.query
        found, last = await self._received.until(
            lambda: self._stored.received(page.after, page.origin, page.limit),
            lambda rows: bool(rows[0]),
            page.wait,
        )
        shown = [
            replace(show_transaction(transaction), server=owner.name)
            for owner, transaction in found
        ]
        return ReceivedPage(shown, last)

    async def _list_refused(self, call: Call[Page, Nothing]) -> RefusedPage:
        page = call.query
        await self._waiting.catch_up()
        found, last = await self._refused.until(
            lambda: self._stored.refused(page.after, page.origin, page.limit),
            lambda rows: bool(rows[0]),
            page.wait,
        )
        shown = []
        for owner, refusal in found:
            books = self._find(owner)
            if books is not None:
                completed = await books.refusals.completed(refusal)
                shown.append(replace(show_refusal(completed), server=owner.name))
        return RefusedPage(shown, last)

    async def _list_peers(self, call: Call[PeerPage, Nothing]) -> Peers:
        after, limit = _parse_pair(call.query.after), call.query.limit
        pairs = await self._stored.known(after, limit)
        shown: list[PeerView] = []
        for owner, group in groupby(pairs, itemgetter(0)):
            await self._pace.pause()
            count = len(list(group))
            begin = ServerName.parse(after[1]) if owner.name == after[0] else None
            books = self._find(owner)
            peers = [] if books is None else await books.peers.page(begin, count)
            shown += [replace(peer, server=owner.name) for peer in peers]
        is_last = not pairs or len(pairs) < limit
        return Peers(shown, None if is_last else "/".join(map(str, pairs[-1])))

    async def _describe(self, call: _Bare) -> PeerView:
        name = call.server("name")
        for owner, books in await self._knowing(name):
            found = await books.peers.describe(name)
            if found is not None:
                return replace(found, server=owner.name)
        raise _unknown(name)

    async def _report(self, call: _Bare) -> ReportView:
        name = call.server("name")
        await self._waiting.catch_up()  # a refusal may be all that is known of it
        reports = {}
        for owner, books in await self._knowing(name):
            await self._pace.pause()
            reports[owner.name] = await books.reports.report(name)
        return together(name, reports)

    async def _retry(self, call: _Bare) -> Nothing:
        name = call.server("name")
        # The servers that know nothing else may have tried in vain to reach it.
        was_remembered = self._shelf.caches.forget(name)
        known = [
            await books.peers.retry(name) for _, books in await self._knowing(name)
        ]
        if not (was_remembered or any(known)):
            raise _unknown(name)
        return Nothing()

    async def _forget(self, call: _Bare) -> StillQueued:
        name = call.server("name")
        was_remembered = self._shelf.caches.forget(name)
        found = [
            await books.peers.forget(name) for _, books in await self._knowing(name)
        ]
        queued = [each for each in found if each is not None]
        if not (was_remembered or queued):
            raise _unknown(name)
        return StillQueued(sum(queued))

    async def _knowing(self, name: ServerName) -> list[tuple[ServerName, Books]]:
        """Those of our servers that know a peer, in the order of their names."""
        names = await self._stored.knowing(name, self._shelf.observing(name))
        return [(own, books) for own in names if (books := self._find(own)) is not None]


def _unknown(name: ServerName) -> NotFound:
    return NotFound(f"nothing is known of a peer {quote(name.name)}")


def _parse_pair(after: str) -> tuple[str, str]:
    """A name of ours and a peer's, from the `next` of a page."""
    if not after:
        return "", ""
    ours, separator, peer = after.partition("/")
    try:
        if separator:
            return ServerName.parse(ours).name, ServerName.parse(peer).name
    except ProtocolError:
        pass
    raise InvalidParam(
        f"`after` is {quote(after)}, and not the `next` of a page of the peers of all "
        "servers, OURS/PEER; with `server`, it is the name of a peer"
    )

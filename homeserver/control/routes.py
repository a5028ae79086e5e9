"""The routes of the control API, one line each.

Rules: a route calls one part, and answers with a view. Decisions are made in that part,
so that the command line does not repeat them.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from msgspec.structs import asdict, replace

from homeserver.control.caches import CacheBook
from homeserver.control.parameters import (
    CacheFilter,
    KeyVersions,
    OfServer,
    OfWorker,
    Page,
    Waiting,
)
from homeserver.control.peer_views import Caches, KeysView, ResolutionView
from homeserver.control.routing import Call, ControlRoute, route, view_reply
from homeserver.control.submit import Submitter
from homeserver.control.views import (
    Bounds,
    BoundView,
    Dropped,
    EntryView,
    Health,
    HintView,
    Nothing,
    PduView,
    ProofView,
    Queued,
    ReceivedPage,
    RefusalView,
    RefusedPage,
    Submission,
    TransactionView,
    view_of,
)
from homeserver.http.reply import Reply
from homeserver.inbound.refusals import Refusals
from homeserver.net.bounds import Bound
from homeserver.outbound.delivery.outgoing import Outgoing
from homeserver.protocol.errors import InvalidParam, NotFound, TooLarge, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.outbox.drops import AlreadyOver
from homeserver.storage.pages import ListedTransaction
from homeserver.storage.received import ReceivedStore
from homeserver.storage.refusals import RecordedRefusal

# Prometheus' text format.
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_T = TypeVar("_T")

_Bare = Call[Nothing, Nothing]

_NO_WORKER = (NotFound,)

OPEN_TEMPLATES = frozenset({"/health"})
"""The routes that need no token."""


def status_routes(
    is_healthy: Callable[[], Awaitable[bool]],
    read_metrics: Callable[[], Awaitable[bytes]],
    bounds: Sequence[Bound],
    read_remarks: Callable[[], tuple[str, ...]] = tuple,
    worker: int = 1,
) -> list[ControlRoute]:
    """The state of this server; `read_remarks` returns what to look after.

    `worker` is the number of this process.
    """

    async def health(_: _Bare) -> Health | Reply:
        """Whether the daemon accepts connections and its store answers; else 503."""
        if await is_healthy():
            return Health("ok", read_remarks())
        return view_reply(Health("unavailable", read_remarks()), status=503)

    def check_worker(call: Call[OfWorker, Nothing]) -> None:
        # Where there are others, worker 1 passes on what is for them.
        if call.query.worker not in {None, worker}:
            raise NotFound("`worker` is none of the workers, of which there is one")

    async def metrics(call: Call[OfWorker, Nothing]) -> Reply:
        """The metrics, in the text format of Prometheus."""
        check_worker(call)
        return Reply(await read_metrics(), headers={"Content-Type": _METRICS_TYPE})

    def show_bounds(call: Call[OfWorker, Nothing]) -> Bounds:
        """Each limit on what others can make the daemon hold or do, with its use."""
        check_worker(call)
        return Bounds([_bound(each) for each in bounds])

    return [
        route("GET", "/health", health, instead={503: Health}),
        route("GET", "/metrics", metrics, errors=_NO_WORKER),
        route("GET", "/v1/bounds", show_bounds, errors=_NO_WORKER),
    ]


def _bound(bound: Bound) -> BoundView:
    return BoundView(bound.name, bound.what, bound.use(), bound.limit, bound.refusals)


def send_routes(submitter: Submitter, sender: Outgoing) -> list[ControlRoute]:
    """The outbound queue."""

    async def submit(call: Call[Nothing, Submission]) -> Queued:
        """Queue a transaction for a server."""
        return Queued(await submitter.submit(call.server("destination"), call.body))

    async def drop_all(call: _Bare) -> Dropped:
        """Drop everything that is queued for a server."""
        if call.path.endswith(b"/"):
            raise InvalidParam(
                "the ID is empty; without the last slash, all is dropped"
            )
        return Dropped(await sender.drop_all(call.server("destination")))

    async def state(call: Call[Waiting, Nothing]) -> EntryView:
        """How far an entry is; waits for its outcome if asked to."""
        destination, entry_id = call.server("destination"), call.entry_id()
        found = await sender.state(destination, entry_id, call.query.wait)
        shown = view_of(EntryView, _queued(found, destination, entry_id))
        return submitter.judged(destination, shown)

    async def drop(call: _Bare) -> Dropped:
        """Drop an entry, with the others of its transaction."""
        destination, entry_id = call.server("destination"), call.entry_id()
        try:
            entries = await sender.drop(destination, entry_id)
        except AlreadyOver as problem:
            raise NotFound(f"{problem}; there is nothing to drop") from None
        return Dropped(_queued(entries, destination, entry_id))

    entries, entry = "/v1/send/{destination}", "/v1/send/{destination}/{id}"
    return [
        route("POST", entries, submit, status=202, errors=(NotFound, TooLarge)),
        route("DELETE", entries, drop_all),
        route("GET", entry, state, errors=(NotFound,)),
        route("DELETE", entry, drop, errors=(NotFound,)),
    ]


def _queued(found: _T | None, destination: ServerName, entry_id: int) -> _T:
    """What was found of an entry; raises `NotFound` if nothing was."""
    if found is None:
        raise NotFound(f"nothing of ID {entry_id} was queued for {destination}")
    return found


def inbound_routes(received: ReceivedStore, refusals: Refusals) -> list[ControlRoute]:
    """Received transactions and refused requests."""

    async def list_received(call: Call[Page, Nothing]) -> ReceivedPage:
        """Received transactions, oldest first; waits for one if asked to."""
        page = call.query
        found = await received.after(page.after, page.origin, page.limit, page.wait)
        last = found[-1].id if found else page.after
        return ReceivedPage([*map(show_transaction, found)], last)

    async def list_refused(call: Call[Page, Nothing]) -> RefusedPage:
        """Refused requests of other servers, oldest first; waits if asked to."""
        page = call.query
        found = await refusals.after(page.after, page.origin, page.limit, page.wait)
        last = found[-1].id if found else page.after
        return RefusedPage([*map(show_refusal, found)], last)

    return [
        route("GET", "/v1/received", list_received),
        route("GET", "/v1/refused", list_refused),
    ]


def show_refusal(recorded: RecordedRefusal) -> RefusalView:
    """A refusal as it is listed."""
    hints = recorded.hints
    members = {
        k: v
        for k, v in asdict(recorded).items()
        if k not in {"evidence", "content", "seconds"}
    }
    members["hints"] = (
        None if hints is None else [view_of(HintView, hint) for hint in hints]
    )
    return RefusalView(**members)


def show_transaction(listed: ListedTransaction) -> TransactionView:
    """A transaction as it is listed."""
    return replace(
        view_of(TransactionView, listed),
        verified_by=view_of(ProofView, listed.verified_by),
        pdus=[view_of(PduView, pdu) for pdu in listed.pdus],
    )


def cache_routes(book: CacheBook, names: Collection[ServerName]) -> list[ControlRoute]:
    """The caches of discovery and of the keyring; `names` are those of our servers."""

    def unknown(name: ServerName) -> NotFound:
        return NotFound(
            f"nothing is remembered of {quote(name.name)}, and it is not a server here"
        )

    def show(call: Call[CacheFilter, Nothing]) -> Caches:
        """What discovery and the keyring remember, and until when."""
        name = call.query.server
        kept = book.all() if name is None else book.about(name)
        if name is not None and not kept and name not in names:
            raise unknown(name)
        return Caches(kept[: call.query.limit], len(kept))

    def forget(call: Call[OfServer, Nothing]) -> Nothing:
        """Forget what discovery and the keyring remember."""
        name = call.query.server
        if name is None:
            book.forget_all()
        elif not book.forget(name) and name not in names:
            raise unknown(name)
        return Nothing()

    errors = (NotFound,)
    return [
        route("GET", "/v1/caches", show, errors=errors),
        route("DELETE", "/v1/caches", forget, errors=errors),
    ]


def lookup_routes(
    resolve: Callable[[ServerName], Awaitable[ResolutionView]],
    fetch_keys: Callable[..., Awaitable[KeysView]],
    caches: CacheBook,
) -> list[ControlRoute]:
    """Look-ups of another server that are made now.

    `fetch_keys` takes `v2_only`: whether to skip the version 1 document.
    """

    async def show_resolution(call: _Bare) -> ResolutionView:
        """Resolve a server name now: each step, and the routes."""
        return await resolve(call.server("name"))

    async def show_keys(call: Call[KeyVersions, Nothing]) -> KeysView:
        """Fetch and check the key documents of a server now."""
        describe = partial(fetch_keys, v2_only=call.query.v2_only)
        return await caches.show_beside(describe, call.server("name"))

    return [
        route("GET", "/v1/resolve/{name}", show_resolution),
        route("GET", "/v1/keys/{name}", show_keys),
    ]

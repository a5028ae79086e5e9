"""Descriptions of discovery and of another server's keys, for an operator.

Rules: every check here is a check that requests pass too, made by the same function.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.control.caches import mark_kept
from homeserver.control.peer_views import (
    DocumentView,
    KeysView,
    ResolutionView,
    RouteView,
)
from homeserver.control.views import HintView, view_of
from homeserver.net.addresses import AddressPolicy, RefusedAddress
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.cooperate import Pace
from homeserver.net.wall_clock import wall_ts
from homeserver.outbound.client import FederationClient, check_names_connection
from homeserver.outbound.discovery.resolver import Resolver
from homeserver.outbound.transport.budget import OverBudget
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.sightings import InvalidDocument
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.diagnosis.key_documents import Version, diagnose_key_document
from homeserver.protocol.diagnosis.resolution import diagnose_resolution
from homeserver.protocol.discovery import LookupFailed, NotResolvable, Route
from homeserver.protocol.errors import ProtocolError, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import (
    V1_PATH,
    V2_PATH,
    KeyDocument,
    parse_v1,
    parse_v2,
)
from homeserver.storage.peers import PeerStore

_V1 = V1_PATH, parse_v1
_V2 = V2_PATH, parse_v2

_OF_TIME = frozenset({"document-expired", "document-seconds"})


class Reach(Struct, frozen=True):
    """How hosts are reached: their addresses, and which of them are allowed."""

    look_up: Callable[[str, Cause], Awaitable[Sequence[str]]]
    """Returns the IP addresses of a host, or raises `LookupFailed`."""

    policy: AddressPolicy


async def describe_resolution(
    resolver: Resolver, reach: Reach, clock: IReactorTime, name: ServerName
) -> ResolutionView:
    """Each step of resolving `name` and the routes, or why there are none.

    A step that uses a cached answer says until when it is kept, by `clock`. A route has
    the addresses that it leads to, or says why it leads to none.
    """
    describe = mark_kept(resolver.kept, clock)
    try:
        resolution = await resolver.resolve(name, OURSELVES)
    except NotResolvable as problem:
        steps = list(map(describe, problem.steps))
        hints = diagnose_resolution(problem.steps, problem.reason)
        return ResolutionView(
            name.name, steps, error=str(problem), hints=_views(hints) or UNSET
        )
    except OverBudget as problem:
        return ResolutionView(name.name, [], error=str(problem))
    looks = [
        Deferred.fromCoroutine(_route_to(reach, route)) for route in resolution.routes
    ]
    followed = [*resolution.steps, *await resolver.aliases(resolution)]
    routes = [await each for each in looks]  # all run already
    hints = diagnose_resolution(followed)
    hints += dict.fromkeys(hint for _, hint in routes if hint is not None)
    shown = [route for route, _ in routes]
    return ResolutionView(
        name.name,
        list(map(describe, followed)),
        shown,
        _why_no_route(name, shown),
        hints=_views(hints) or UNSET,
    )


def _why_no_route(name: ServerName, routes: Sequence[RouteView]) -> str | UnsetType:
    """Why no route can be used; unset if one can."""
    problems = [route.problem for route in routes if route.problem is not UNSET]
    if len(problems) < len(routes):
        return UNSET
    why = problems[0] if problems else "there is none"
    return f"no route to {name} can be used: {why}"


async def _route_to(reach: Reach, route: Route) -> tuple[RouteView, Hint | None]:
    """A route with its addresses, and what to change if there is none."""
    shown = view_of(RouteView, route)
    hint = None
    try:
        found = await reach.look_up(route.host, OURSELVES)
        return replace(shown, addresses=reach.policy.allowed(found)), None
    except LookupFailed as problem:
        why: Exception = problem
        if problem.reason == "no_address":
            text = "a host has no address; publish an A or AAAA record for it"
            hint = Hint("no-address", text)
    except RefusedAddress as problem:
        why = problem
        text = (
            "every address of a host is in a range that is not connected to; if it is "
            "yours, add it to `[network] allow`"
        )
        hint = Hint("address-refused", text)
    except OverBudget as problem:
        why = problem
    return replace(shown, addresses=[], problem=str(why)), hint


async def describe_keys(
    client: FederationClient,
    peers: PeerStore,
    clock: IReactorTime,
    invalid: Mapping[ServerName, InvalidDocument],
    name: ServerName,
    *,
    v2_only: bool = False,
) -> KeysView:
    """Both key documents of `name`, the problems of each, and who served them.

    With `v2_only`, version 1 is not requested and is null. If the server cannot be
    reached, only `error` says why, with the hints on its document in `invalid`.
    """
    look = _Look(client, peers, clock)
    try:
        first = None
        if not v2_only:
            first, _ = await _document(look, name, _V1)
        second, connection = await _document(look, name, _V2)
    except Unreachable as problem:
        found = invalid.get(name)
        hints = []
        if found is not None:
            hints = await look.diagnose(
                found.data, name, found.version, found.certificate
            )
        return KeysView(name.name, error=str(problem), hints=_views(hints))
    return KeysView(
        name.name,
        verified_by=connection.peer.verified_by,
        route=view_of(RouteView, connection.route),
        certificate_sha256=connection.peer.certificate_sha256,
        v2_only=True if v2_only else UNSET,
        v1=first,
        v2=second,
    )


class _Look(Struct, frozen=True):
    """What a look at key documents needs."""

    client: FederationClient
    peers: PeerStore
    clock: IReactorTime

    async def diagnose(
        self, data: bytes, name: ServerName, version: Version, certificate: bytes
    ) -> list[Hint]:
        """What has to change in a document that came on a connection."""
        now_ts = wall_ts(self.clock)
        steps = diagnose_key_document(data, name, version, now_ts, certificate)
        return await Pace(self.clock).run(steps)


def _views(hints: Sequence[Hint]) -> list[HintView]:
    return [view_of(HintView, hint) for hint in hints]


async def _document(
    look: _Look,
    name: ServerName,
    version: tuple[str, Callable[[bytes, ServerName], KeyDocument]],
) -> tuple[DocumentView | None, VerifiedConnection]:
    """One document with its problems; None if the server has none."""
    path, parse = version
    status, data, connection = await look.client.ask(name, path, OURSELVES)
    if status == 404:
        return None, connection
    shown: Json = {}
    problems: list[str] = []
    try:
        if status != 200:
            problems.append(f"status {status}: {quote(data)}")
        shown = parse_object(data)
        document = parse(data, name)
        problems += [
            f"{quote(key_id)} is ignored: {rule}"
            for key_id, rule in document.invalid_entries.items()
        ]
        conflict = await look.peers.conflict(document)
        problems += [] if conflict is None else [conflict]
        check_names_connection(document, connection)
    except ProtocolError as problem:
        problems.append(str(problem))
    hints = await look.diagnose(
        data, name, 1 if parse is parse_v1 else 2, connection.peer.certificate
    )
    # No check of a connection: it is valid for what was signed before.
    problems += [hint.text for hint in hints if hint.code in _OF_TIME]
    return DocumentView(shown, problems, _views(hints)), connection

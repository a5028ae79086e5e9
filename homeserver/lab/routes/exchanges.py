"""Routes of the record: exchanges listed, shown, exported, expected, forgotten.

Rules: as those of `control.routes`. What is on the wire has the shapes of this module
and of `lab.record.views`.
"""

from collections.abc import Collection
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorTime

from homeserver.control.each_server import check_ours
from homeserver.control.parameters import MAX_LIMIT, Limit, Wait
from homeserver.control.routing import Call, ControlRoute, route, view_reply
from homeserver.control.views import Nothing
from homeserver.http.reply import Reply
from homeserver.lab.record.entry import MEMBERS, Entry
from homeserver.lab.record.expect import Expectation, Outcome, expect, quiet
from homeserver.lab.record.har import build_har
from homeserver.lab.record.journal import encode_line
from homeserver.lab.record.match import Difference, Match
from homeserver.lab.record.record import CutShort, Record
from homeserver.lab.record.views import (
    ExchangeDetails,
    ExchangeView,
    view,
    view_details,
)
from homeserver.net.exchange import Direction, Kind
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import ServerName

# Longer than any test waits; a connection that waits takes a slot of the control API.
_MAX_SECONDS = 600.0

Pattern = str | None

_Bare = Call[Nothing, Nothing]


class ExchangeFilter(Struct, frozen=True):
    """Which exchanges; in each text, `*` stands for any text."""

    server: Annotated[Pattern, Meta(description="Our server's name.")] = None
    peer: Annotated[
        Pattern, Meta(description="The other server's name, proven or claimed.")
    ] = None
    direction: Direction | None = None
    kind: Kind | None = None
    route: Annotated[
        Pattern,
        Meta(description="The template, as in `/_matrix/federation/v1/send/{txnId}`."),
    ] = None
    method: Annotated[
        Pattern, Meta(description="Of a question to the DNS, the type of the records.")
    ] = None
    path: Annotated[
        Pattern, Meta(description="Of a question to the DNS, the name.")
    ] = None
    status: Annotated[Pattern, Meta(description="As in `503` or `5*`.")] = None
    reason: Annotated[
        Pattern, Meta(description="The code of what is wrong with it.")
    ] = None
    txn_id: Pattern = None
    room_id: Annotated[
        Pattern, Meta(description="A room of its path, or of one of its PDUs.")
    ] = None
    after: Annotated[int, Meta(ge=0, description="Only those with a higher ID.")] = 0
    before: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Only those with a lower ID."),
    ] = None

    @property
    def match(self) -> Match:
        """The members that an exchange must have."""
        return Match(**{member: getattr(self, member) for member in MEMBERS})

    def find(self, record: Record) -> list[Entry]:
        """The exchanges in the record, oldest first."""
        return list(record.find(self.match, self.after, self.before))


class ExchangeQuery(ExchangeFilter, frozen=True):
    """Which exchanges, how many, and how long to wait for one."""

    limit: Limit = 100
    wait: Wait = 0.0


class ExchangePage(Struct, frozen=True):
    """Exchanges, oldest first."""

    exchanges: list[ExchangeView]
    next: Annotated[int, Meta(description="The `after` of the next page.")]


class Forgotten(Struct, frozen=True):
    """How many were removed."""

    forgotten: int


class ExpectBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What a test expects."""

    match: Annotated[
        Match, Meta(description="In each text of it, `*` stands for any text.")
    ]
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    within: Annotated[float, Meta(ge=0, le=_MAX_SECONDS, description="Seconds.")] = 10.0
    never: Annotated[
        bool, Meta(description="Whether none may match for all of `within`.")
    ] = False
    after: Annotated[
        int, Meta(ge=0, description="The ID of the exchange after which they count.")
    ] = 0


class MissView(Struct, frozen=True):
    """An exchange that is almost what was expected."""

    exchange: ExchangeView
    differs: Annotated[
        dict[str, Difference], Meta(description="By the member that differs.")
    ]


class Matched(Struct, frozen=True):
    """What was expected has happened."""

    matched: list[ExchangeView]


class Missed(Struct, frozen=True):
    """What was expected has not happened, or what must not happen has."""

    matched: list[ExchangeView]
    nearest: Annotated[
        list[MissView], Meta(description="Those with the fewest differences first.")
    ]


class QuietBody(
    Struct, frozen=True, forbid_unknown_fields=True, rename={"for_": "for"}
):
    """What silence is waited for."""

    servers: Annotated[
        list[str], Meta(description="Names of ours; without one, all count.")
    ] = []
    for_: Annotated[
        float, Meta(ge=0, le=_MAX_SECONDS, description="Seconds without an exchange.")
    ] = 2.0
    within: Annotated[float, Meta(ge=0, le=_MAX_SECONDS, description="Seconds.")] = 30.0


class Quiet(Struct, frozen=True):
    """Nothing has arrived for the time."""

    seconds: Annotated[float, Meta(description="How long it took.")]


class Noisy(Struct, frozen=True):
    """Something went on arriving."""

    latest: Annotated[list[ExchangeView], Meta(description="The last arrivals.")]


def record_routes(
    record: Record, clock: IReactorTime, names: Collection[ServerName]
) -> list[ControlRoute]:
    """The record; `names` are those of our servers, at any moment."""

    async def listed(call: Call[ExchangeQuery, Nothing]) -> ExchangePage:
        """The exchanges in the record, oldest first; waits for one if asked to."""
        query = call.query
        await record.wait_for(query.match, query.after, query.wait)
        found = query.find(record)[: query.limit]
        last = found[-1].id if found else query.after
        return ExchangePage([view(entry) for entry in found], last)

    def shown(call: _Bare) -> ExchangeDetails:
        """An exchange with its TLS, its stages, its headers and bodies."""
        entry = record.entry(call.entry_id())
        if entry is None:
            raise NotFound(
                f"exchange {call.entry_id()} is not in the record; the latest one is "
                f"{record.last_id}, and the oldest ones make room for new ones"
            )
        return view_details(entry)

    def as_har(call: Call[ExchangeFilter, Nothing]) -> Struct | Reply:
        """The requests in the record as an HTTP archive (HAR 1.2)."""
        return Reply(msgspec.json.encode(build_har(call.query.find(record))))

    def as_lines(call: Call[ExchangeFilter, Nothing]) -> Reply:
        """The exchanges in the record with all details, a line of JSON each."""
        lines = b"".join(map(encode_line, call.query.find(record)))
        return Reply(lines, headers={"Content-Type": "text/plain; charset=utf-8"})

    def forget(call: Call[ExchangeFilter, Nothing]) -> Forgotten:
        """Remove exchanges from the record."""
        query = call.query
        return Forgotten(record.forget(query.match, query.after, query.before))

    template = "/v1/exchanges"
    return [
        route("GET", template, listed),
        route("DELETE", template, forget),
        route("GET", f"{template}.har", as_har),
        route("GET", f"{template}.jsonl", as_lines),
        route("GET", f"{template}/{{id}}", shown, errors=(NotFound,)),
        *_waiting_routes(record, clock, names),
    ]


def _waiting_routes(
    record: Record, clock: IReactorTime, ours: Collection[ServerName]
) -> list[ControlRoute]:
    async def expected(call: Call[Nothing, ExpectBody]) -> Matched | Reply:
        """Wait until this number of exchanges match; 408 says what was nearest."""
        body = call.body
        wanted = Expectation(
            body.match, body.count, body.within, body.never, body.after
        )
        outcome = await expect(record, wanted)
        matched = [view(entry) for entry in outcome.matched[:MAX_LIMIT]]
        if outcome.is_met:
            return Matched(matched)
        return view_reply(Missed(matched, _nearest(outcome)), status=408)

    async def silent(call: Call[Nothing, QuietBody]) -> Quiet | Reply:
        """Wait until nothing has arrived for some time: the end of a test."""
        body = call.body
        parsed = map(ServerName.parse, body.servers)
        names = [check_ours(name, ours).name for name in parsed]
        seconds = await quiet(record, clock, body.for_, body.within, names)
        if seconds is not None:
            return Quiet(seconds)
        arrived = record.latest(names)
        return view_reply(Noisy([view(entry) for entry in arrived]), status=408)

    return [
        route(
            "POST",
            "/v1/expect",
            expected,
            errors=(CutShort,),
            instead={408: Missed},
        ),
        route(
            "POST",
            "/v1/quiet",
            silent,
            errors=(NotFound, CutShort),
            instead={408: Noisy},
        ),
    ]


def _nearest(outcome: Outcome) -> list[MissView]:
    return [MissView(view(miss.entry), miss.differs) for miss in outcome.nearest]

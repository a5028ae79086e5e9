"""The federation routes about rooms, one line each.

Rules: as those of `inbound.routes`. Version 1 of `send_join`, `send_leave` and `invite`
answers with a list of 200 and the reply, as servers of its time read it.

Specification: Server-server API, "Joining Rooms" to "Spaces".
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Route
from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.local_servers import LocalServers
from homeserver.inbound.routes import signed_route
from homeserver.inbound.signed_requests import SignedAnswer
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.federation_paths import V1, V2
from homeserver.rooms import (
    invites,
    memberships,
    on_bind,
    past,
    policy_routes,
    summaries,
    third_party,
)
from homeserver.rooms.policies import SIGN
from homeserver.rooms.question import Question
from homeserver.rooms.resident import Resident
from homeserver.users.routes import UserServer

Answer = Callable[[Resident, Question], Awaitable[Json | bytes]]
"""Answers a question with an object, or with one in JSON."""


class RoomServer(UserServer, Protocol):
    """One of our servers, where it is in rooms."""

    @property
    def resident(self) -> Resident:
        """Answers questions about rooms that it is in."""
        ...


def room_routes(servers: LocalServers[RoomServer]) -> list[Route]:
    """The routes of servers that are in rooms."""

    async def bound(request: Request) -> Reply:
        server = servers.of_unsigned(request)

        def is_known(user_id: str) -> bool:
            is_defined = server.users.find(user_id) is not None
            return is_defined or user_id in server.profiles

        return await on_bind.bound(request, server.resident, is_known)

    return [
        Route("PUT", f"{V1}/3pid/onbind", bound, on_bind.admit),
        *(
            signed_route(servers, method, template, partial(_answered, answer))
            for method, template, answer in _ROUTES
        ),
    ]


def _answered(answer: Answer, server: RoomServer) -> SignedAnswer:
    async def reply(
        request: Request, origin: ProvenOrigin, content: Json | None
    ) -> Reply:
        found = await answer(server.resident, Question.of(request, origin, content))
        return Reply(found if isinstance(found, bytes) else encode(found))

    return reply


def _as_v1(answer: Callable[[Resident, Question], Awaitable[bytes]]) -> Answer:
    """An answer as version 1 of its route has it."""

    async def listed(resident: Resident, question: Question) -> bytes:
        return b"[200," + await answer(resident, question) + b"]"

    return listed


_EVENT = "{roomId}/{eventId}"
_USER = "{roomId}/{userId}"

_ROUTES: list[tuple[str, str, Answer]] = [
    ("GET", f"{V1}/make_join/{_USER}", memberships.make_join),
    ("PUT", f"{V1}/send_join/{_EVENT}", _as_v1(memberships.send_join_v1)),
    ("PUT", f"{V2}/send_join/{_EVENT}", memberships.send_join),
    ("GET", f"{V1}/make_knock/{_USER}", memberships.make_knock),
    ("PUT", f"{V1}/send_knock/{_EVENT}", memberships.send_knock),
    ("GET", f"{V1}/make_leave/{_USER}", memberships.make_leave),
    ("PUT", f"{V1}/send_leave/{_EVENT}", _as_v1(memberships.send_leave)),
    ("PUT", f"{V2}/send_leave/{_EVENT}", memberships.send_leave),
    ("PUT", f"{V1}/invite/{_EVENT}", _as_v1(invites.v1)),
    ("PUT", f"{V2}/invite/{_EVENT}", invites.v2),
    (
        "PUT",
        f"{V1}/exchange_third_party_invite/{{roomId}}",
        third_party.exchange,
    ),
    ("GET", f"{V1}/state/{{roomId}}", past.state),
    ("GET", f"{V1}/state_ids/{{roomId}}", past.state_ids),
    ("GET", f"{V1}/event/{{eventId}}", past.event),
    ("GET", f"{V1}/event_auth/{_EVENT}", past.event_auth),
    ("GET", f"{V1}/backfill/{{roomId}}", past.backfill),
    ("POST", f"{V1}/get_missing_events/{{roomId}}", past.missing_events),
    ("GET", f"{V1}/timestamp_to_event/{{roomId}}", past.at_timestamp),
    ("GET", f"{V1}/hierarchy/{{roomId}}", summaries.hierarchy),
    ("GET", f"{V1}/publicRooms", summaries.public_rooms),
    ("POST", f"{V1}/publicRooms", summaries.searched_rooms),
    ("GET", f"{V1}/query/directory", summaries.alias),
    ("POST", SIGN, policy_routes.sign),
]

"""A target with the routes about users and media, and with some answers of its own.

Rules: the answers are right but for those that a test changes.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from homeserver.conformance.target import Target
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route
from homeserver.inbound.local_servers import LocalServers
from homeserver.inbound.routes import signed_route
from tests.conformance.faulty import answered, patched
from tests.support.conformance_stage import Fault

V1 = "/_matrix/federation/v1"
PROFILE = f"{V1}/query/{{queryType}}"
DIRECTORY = f"{V1}/query/directory"

ONE_PART = b"--abc\r\nContent-Type: text/plain\r\n\r\nhello\r\n--abc--\r\n"
PARTS = b"--abc\r\nContent-Type: application/json\r\n\r\n{}\r\n" + ONE_PART
_MULTIPART = {"Content-Type": "multipart/mixed; boundary=abc"}


def as_json(content: object, status: int = 200) -> Reply:
    """A reply of JSON."""
    return Reply(msgspec.json.encode(content), status)


def error(status: int, errcode: str) -> Reply:
    """A refusal."""
    return as_json({"errcode": errcode, "error": "no"}, status)


NOT_FOUND = error(404, "M_NOT_FOUND")
UNKNOWN = error(404, "M_UNKNOWN")

Answered = Callable[[Request], Reply]


def always(reply: Reply) -> Answered:
    """One reply to all requests."""
    return lambda _: reply


def devices(request: Request) -> Reply:
    """The devices of Alice; no others are known."""
    user = request.parameters["userId"].decode()
    if not user.startswith("@alice:"):
        return NOT_FOUND
    return as_json({"user_id": user, "stream_id": 1, "devices": []})


def media(body: bytes) -> Answered:
    """A body for the media that are known."""

    def answer(request: Request) -> Reply:
        if request.parameters["mediaId"] != b"known":
            return NOT_FOUND
        return Reply(body, 200, _MULTIPART)

    return answer


OPENID = f"{V1}/openid/userinfo"
KEYS = f"{V1}/user/keys/query"
CLAIM = f"{V1}/user/keys/claim"
DEVICES = f"{V1}/user/devices/{{userId}}"
DOWNLOAD = f"{V1}/media/download/{{mediaId}}"
THUMBNAIL = f"{V1}/media/thumbnail/{{mediaId}}"

_SOUND: Mapping[str, tuple[str, Answered]] = {
    OPENID: ("GET", always(error(401, "M_UNKNOWN_TOKEN"))),
    KEYS: ("POST", always(as_json({"device_keys": {}}))),
    CLAIM: ("POST", always(as_json({"one_time_keys": {}}))),
    DEVICES: ("GET", devices),
    DOWNLOAD: ("GET", media(PARTS)),
    THUMBNAIL: ("GET", media(PARTS)),
}
UNSIGNED = {OPENID}


def _routes(
    changes: Mapping[str, Answered], unsigned: set[str]
) -> Callable[[LocalServers[Any]], list[Route]]:
    def routes(servers: LocalServers[Any]) -> list[Route]:
        made: list[Route] = []
        for template, (method, sound) in _SOUND.items():
            answer = changes.get(template, sound)
            if template in unsigned:
                made.append(Route(method, template, answer))
            else:
                signed = _signed(answer)
                made.append(signed_route(servers, method, template, signed))
        return made

    return routes


def _signed(answer: Answered) -> Callable[[object], Any]:
    async def signed(request: Request, *_: object) -> Reply:
        return answer(request)

    return lambda _: signed


async def _given(target: Target, *_: object) -> None:
    """What `--setup` and `--room` would give."""
    facts = target.facts
    facts.media = "known"
    facts.alias = f"#known:{target.name}"


Change = Callable[[Reply, Request], Reply | None]


def target(
    changes: Mapping[str, Answered] | None = None,
    unsigned: set[str] = UNSIGNED,
    *,
    replies: Mapping[tuple[str, str], Change] | None = None,
    servers: bool = True,
) -> Fault:
    """A target with users and media, and with some answers of its own.

    `replies` are changes of the answers of the endpoint's routes, None for none;
    `servers` is whether the answer for an alias has them.
    """

    def wrap(route: Route) -> Answer:
        change = (replies or {}).get((route.method, route.template), _none)

        async def answer(request: Request) -> Reply:
            reply = await answered(route, request)
            if route.template == DIRECTORY and b"known" in request.uri:
                found = {"room_id": "!known:localhost", "servers": _of(request)}
                reply = as_json(found if servers else {"room_id": "!known:localhost"})
            return change(reply, request) or reply

        return answer

    def replaced() -> AbstractContextManager[object]:
        return patched(
            {
                "homeserver.app.composition.user_routes": _routes(
                    changes or {}, unsigned
                ),
                "homeserver.conformance.provision._make": _given,
            }
        ).patched()

    return Fault(wrap, replaced)


def _of(request: Request) -> list[str]:
    return [request.args[b"room_alias"][0].decode().partition(":")[2]]


def _none(_: Reply, __: Request) -> None:
    return None

"""Q: each check has a fault that turns it red.

The routes about users and media are those of this test, with answers that are right but
for the one of a row.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import pytest

from homeserver.conformance.target import Target
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route
from homeserver.inbound.local_servers import LocalServers
from homeserver.inbound.routes import signed_route
from tests.conformance.faulty import Row, answered, patched, red
from tests.support.conformance_stage import Fault, Stage

_V1 = "/_matrix/federation/v1"
_PROFILE = f"{_V1}/query/{{queryType}}"
_DIRECTORY = f"{_V1}/query/directory"
_ROOMS = f"{_V1}/publicRooms"
_SPACES = f"{_V1}/hierarchy/{{roomId}}"

_ONE_PART = b"--abc\r\nContent-Type: text/plain\r\n\r\nhello\r\n--abc--\r\n"
_PARTS = b"--abc\r\nContent-Type: application/json\r\n\r\n{}\r\n" + _ONE_PART
_MULTIPART = {"Content-Type": "multipart/mixed; boundary=abc"}


def _json(content: object, status: int = 200) -> Reply:
    return Reply(msgspec.json.encode(content), status)


def _error(status: int, errcode: str) -> Reply:
    return _json({"errcode": errcode, "error": "no"}, status)


_NOT_FOUND = _error(404, "M_NOT_FOUND")
_UNKNOWN = _error(404, "M_UNKNOWN")

_Answer = Callable[[Request], Reply]


def _always(reply: Reply) -> _Answer:
    return lambda _: reply


def _devices(request: Request) -> Reply:
    user = request.parameters["userId"].decode()
    if not user.startswith("@alice:"):
        return _NOT_FOUND
    return _json({"user_id": user, "stream_id": 1, "devices": []})


def _media(body: bytes) -> _Answer:
    def answer(request: Request) -> Reply:
        if request.parameters["mediaId"] != b"known":
            return _NOT_FOUND
        return Reply(body, 200, _MULTIPART)

    return answer


_OPENID = f"{_V1}/openid/userinfo"
_KEYS = f"{_V1}/user/keys/query"
_CLAIM = f"{_V1}/user/keys/claim"
_DEVICES = f"{_V1}/user/devices/{{userId}}"
_DOWNLOAD = f"{_V1}/media/download/{{mediaId}}"
_THUMBNAIL = f"{_V1}/media/thumbnail/{{mediaId}}"
_POLICY = "/_matrix/policy/v1/sign"

_SOUND: Mapping[str, tuple[str, _Answer]] = {
    _OPENID: ("GET", _always(_error(401, "M_UNKNOWN_TOKEN"))),
    _KEYS: ("POST", _always(_json({"device_keys": {}}))),
    _CLAIM: ("POST", _always(_json({"one_time_keys": {}}))),
    _DEVICES: ("GET", _devices),
    _DOWNLOAD: ("GET", _media(_PARTS)),
    _THUMBNAIL: ("GET", _media(_PARTS)),
}
_UNSIGNED = {_OPENID}


def _routes(
    changes: Mapping[str, _Answer], unsigned: set[str]
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


def _signed(answer: _Answer) -> Callable[[object], Any]:
    async def signed(request: Request, *_: object) -> Reply:
        return answer(request)

    return lambda _: signed


async def _given(target: Target, *_: object) -> None:
    """What `--setup` and `--room` would give."""
    facts = target.facts
    facts.media = "known"
    facts.alias = f"#known:{target.name}"


_Change = Callable[[Reply, Request], Reply | None]


def _target(
    changes: Mapping[str, _Answer] | None = None,
    unsigned: set[str] = _UNSIGNED,
    *,
    replies: Mapping[tuple[str, str], _Change] | None = None,
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
            if route.template == _DIRECTORY and b"known" in request.uri:
                found = {"room_id": "!known:localhost", "servers": _of(request)}
                reply = _json(found if servers else {"room_id": "!known:localhost"})
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


def _where(text: bytes, reply: Reply) -> _Change:
    """Another answer to requests with a text in their target."""
    return lambda _, request: reply if text in request.uri else None


def _profile(change: _Change) -> Fault:
    return _target(replies={("GET", _PROFILE): change})


def _number(reply: Reply, request: Request) -> Reply | None:
    is_whole = b"alice" in request.uri and b"field" not in request.uri
    return _json({"displayname": 1}) if is_whole else None


def _whole(_: Reply, request: Request) -> Reply | None:
    found = {"displayname": "Alice", "avatar_url": "mxc://a/b"}
    return _json(found) if b"field" in request.uri else None


def _no_user_id(reply: Reply, _: Request) -> Reply | None:
    return _NOT_FOUND if reply.status == 400 else None


def _to_strangers(reply: Reply, request: Request) -> Reply | None:
    return _NOT_FOUND if request.getHeader(b"Authorization") is None else None


_BROKEN = _error(500, "M_UNKNOWN")
_FOREIGN_KEYS = _json({"device_keys": {"@user:elsewhere.invalid": {}}})


def _directory(change: _Change) -> Fault:
    return _target(replies={("GET", _DIRECTORY): change})


ROWS: list[Row] = [
    ("users and media", _target(), set()),
    ("name is a number", _profile(_number), {"Q01"}),
    ("field ignored", _profile(_whole), {"Q02"}),
    ("another code for nobody", _profile(_where(b"@nobody", _UNKNOWN)), {"Q03"}),
    (
        "answers for others",
        _profile(
            lambda reply, request: (
                _json({})
                if reply.status == 404 and b"elsewhere" in request.uri
                else None
            )
        ),
        {"Q04"},
    ),
    ("404 without a user", _profile(_no_user_id), {"Q05"}),
    ("breaks on a user ID", _profile(_where(b"%00", _BROKEN)), {"Q06"}),
    ("no servers of an alias", _target(servers=False), {"Q07"}),
    (
        "another code for no alias",
        _directory(_where(b"none", _UNKNOWN)),
        {"Q08", "Q28"},
    ),
    ("404 without an alias", _directory(_no_user_id), {"Q09"}),
    ("breaks on an alias", _directory(_where(b"%00", _BROKEN)), {"Q11"}),
    (
        "no list of rooms",
        _target(replies={("GET", _ROOMS): _where(b"limit", _json({}))}),
        {"Q12"},
    ),
    (
        "no list that is searched",
        _target(replies={("POST", _ROOMS): lambda reply, _: _listed(reply)}),
        {"Q13"},
    ),
    (
        "another code for a token",
        _target({_OPENID: _always(_error(401, "M_FORBIDDEN"))}),
        {"Q14"},
    ),
    ("no device_keys", _target({_KEYS: _always(_json({}))}), {"Q16"}),
    ("keys of others", _target({_KEYS: _always(_FOREIGN_KEYS)}), {"Q17"}),
    ("no one_time_keys", _target({_CLAIM: _always(_json({}))}), {"Q18"}),
    (
        "devices without a stream",
        _target({_DEVICES: lambda request: _without_stream(_devices(request))}),
        {"Q19"},
    ),
    (
        "devices of others",
        _target({_DEVICES: lambda request: _for_all(_devices(request), request)}),
        {"Q20"},
    ),
    (
        "another code for media",
        _target(
            {
                _DOWNLOAD: lambda request: (
                    _media(_PARTS)(request)
                    if request.parameters["mediaId"] == b"known"
                    else _UNKNOWN
                )
            }
        ),
        {"Q22"},
    ),
    ("media for strangers", _target(unsigned={_OPENID, _DOWNLOAD}), {"Q23"}),
    (
        "another code for a space",
        _target(replies={("GET", _SPACES): lambda r, _: _other_code(r)}),
        {"Q24"},
    ),
    (
        "signs events",
        _target(replies={("POST", _POLICY): lambda *_: _json({})}),
        {"Q27"},
    ),
    ("404 to strangers", _profile(_to_strangers), {"Q28"}),
    ("media in one part", _target({_DOWNLOAD: _media(_ONE_PART)}), {"Q29"}),
    (
        "thumbnail in one part",
        _target({_THUMBNAIL: _media(_ONE_PART)}),
        {"Q29.thumbnail"},
    ),
]


def _listed(reply: Reply) -> Reply | None:
    return _json({}) if reply.status == 200 else None


def _other_code(reply: Reply) -> Reply | None:
    return _UNKNOWN if reply.status == 404 else None


def _without_stream(reply: Reply) -> Reply:
    found = msgspec.json.decode(reply.body)
    found.pop("stream_id", None)
    return _json(found, reply.status)


def _for_all(reply: Reply, request: Request) -> Reply:
    if reply.status == 200:
        return reply
    user = request.parameters["userId"].decode()
    return _json({"user_id": user, "stream_id": 1, "devices": []})


@pytest.mark.parametrize(("name", "fault", "expected"), ROWS)
def test_a_fault_turns_its_checks_red(
    on_stage: Stage, name: str, fault: Fault, expected: set[str]
) -> None:
    """It turns them red, and no others of this area."""
    assert red(on_stage, fault, ["Q"]) == expected

"""The federation routes about users of ours and their media, one line each.

Rules: as those of `inbound.routes`. What is asked about a user of another server is
not answered. A user of the configuration has no devices. A request costs no more than
its own length.

Specification: Server-server API, "Device Management", "End-to-End Encryption",
"OpenID", "Content Repository".
"""

from collections.abc import Callable
from typing import Protocol

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Route
from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.local_servers import LocalServer, LocalServers
from homeserver.inbound.routes import signed_route
from homeserver.inbound.signed_requests import SignedAnswer
from homeserver.protocol.canonical_json import Json, as_list, as_object, as_text
from homeserver.protocol.errors import (
    InvalidParam,
    MissingParam,
    NotFound,
    ProtocolError,
    UnknownToken,
    quote,
)
from homeserver.protocol.federation_paths import V1
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.users.media import MediaShelf
from homeserver.users.users import Device, User, Users

_UNCHANGED = 1  # the stream ID of a configured user, who has no device, ever
_MAX_PIXELS = 99_999  # of a side; more is no size of a thumbnail


class UserServer(LocalServer, Protocol):
    """One of our servers, with the users that a test defines."""

    @property
    def users(self) -> Users:
        """Its users."""
        ...

    @property
    def media(self) -> MediaShelf:
        """Its media."""
        ...


Answer = Callable[[UserServer, Request, Json], Reply]
"""Answers a signed request, with its body."""


def user_routes(servers: LocalServers[UserServer]) -> list[Route]:
    """The routes of servers with users."""

    def user_info(request: Request) -> Reply:
        users = servers.of_unsigned(request).users
        user_id = users.of_token(_one(request, "access_token"))
        if user_id is None:
            raise UnknownToken("there is no such OpenID token here")
        return json_reply({"sub": user_id})

    signed: list[tuple[str, str, Answer]] = [
        ("GET", "user/devices/{userId}", _devices),
        ("POST", "user/keys/query", _query),
        ("POST", "user/keys/claim", _claim),
        ("GET", "media/download/{mediaId}", _download),
        ("GET", "media/thumbnail/{mediaId}", _thumbnail),
    ]
    return [
        Route("GET", f"{V1}/openid/userinfo", user_info),
        *(
            signed_route(servers, method, f"{V1}/{template}", _answered(answer))
            for method, template, answer in signed
        ),
    ]


def _answered(answer: Answer) -> Callable[[UserServer], SignedAnswer]:
    def of_server(server: UserServer) -> SignedAnswer:
        async def reply(
            request: Request, _: ProvenOrigin, content: Json | None
        ) -> Reply:
            return answer(server, request, content or {})

        return reply

    return of_server


def _devices(server: UserServer, request: Request, _: Json) -> Reply:
    user_id = _step(request, "userId")
    _check_is_ours(user_id, server.users.server_name)
    user = server.users.find(user_id)
    if user is None and user_id in server.profiles:
        user = User(user_id=user_id, stream_id=_UNCHANGED)
    if user is None:
        raise NotFound(f"there is no user {quote(user_id)} here")
    found: Json = {
        "user_id": user.user_id,
        "stream_id": user.stream_id,
        "devices": [_listed(each) for each in user.devices.values()],
    }
    if user.master_key is not None:
        found["master_key"] = user.master_key
    if user.self_signing_key is not None:
        found["self_signing_key"] = user.self_signing_key
    return json_reply(found)


def _listed(device: Device) -> Json:
    found: Json = {"device_id": device.device_id}
    if device.keys is not None:
        found["keys"] = device.keys
    if device.display_name is not None:
        found["device_display_name"] = device.display_name
    return found


def _query(server: UserServer, _: Request, content: Json) -> Reply:
    wanted = _member(content, "device_keys")
    devices: Json = {}
    found: Json = {"device_keys": devices, "master_keys": {}, "self_signing_keys": {}}
    for user_id, listed in wanted.items():
        only = [
            as_text(each, "a device ID of `device_keys`")
            for each in as_list(listed, "the devices of a user in `device_keys`")
        ]
        user = server.users.find(user_id)
        if user is None:
            continue
        devices[user_id] = {
            each.device_id: _with_name(each)
            for each in user.devices.values()
            if each.keys is not None and (not only or each.device_id in only)
        }
        for name, key in [
            ("master_keys", user.master_key),
            ("self_signing_keys", user.self_signing_key),
        ]:
            if key is not None:
                as_object(found[name], name)[user_id] = key
    return json_reply(found)


def _with_name(device: Device) -> Json:
    keys = device.keys or {}
    if device.display_name is None:
        return keys
    return {**keys, "unsigned": {"device_display_name": device.display_name}}


def _claim(server: UserServer, _: Request, content: Json) -> Reply:
    wanted = [
        (
            user_id,
            device_id,
            as_text(algorithm, "an algorithm of `one_time_keys`"),
        )
        for user_id, devices in _member(content, "one_time_keys").items()
        for device_id, algorithm in as_object(
            devices, "the devices of a user in `one_time_keys`"
        ).items()
    ]
    # All of it is read before a key is handed out, so a wrong request costs none.
    found: dict[str, Json] = {}
    for user_id, device_id, algorithm in wanted:
        user = server.users.find(user_id)
        device = None if user is None else user.devices.get(device_id)
        key = {} if device is None else device.claim(algorithm)
        if key:
            found.setdefault(user_id, {})[device_id] = key
    return json_reply({"one_time_keys": found})


def _download(server: UserServer, request: Request, _: Json) -> Reply:
    return server.media.known(_step(request, "mediaId")).reply()


def _thumbnail(server: UserServer, request: Request, _: Json) -> Reply:
    for name in ("width", "height"):
        text = _one(request, name)
        is_size = text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _MAX_PIXELS
        if not is_size:
            raise InvalidParam(f"`{name}` is {quote(text)}, not a number of pixels")
    media = server.media.known(_step(request, "mediaId"))
    reply = media.thumbnail_reply()
    if reply is None:
        raise ProtocolError(f"no thumbnail of {quote(media.media_id)} can be made")
    return reply


def _check_is_ours(user_id: str, own: ServerName) -> None:
    name = UserId.parse(user_id).server_name
    if name != own:
        raise NotFound(f"{quote(user_id)} is a user of {name}, not of {own}")


def _member(content: Json, name: str) -> Json:
    if name not in content:
        raise MissingParam(f"the body has no `{name}`")
    return as_object(content[name], f"`{name}`")


def _step(request: Request, name: str) -> str:
    step = request.parameters[name]
    try:
        return step.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParam(f"{quote(step)} is not UTF-8") from None


def _one(request: Request, name: str) -> str:
    values = request.args.get(name.encode("ascii"), [])
    if not values:
        raise MissingParam(f"the query has no `{name}`")
    if len(values) > 1:
        raise InvalidParam(f"the query has more than one `{name}`")
    value: bytes = values[0]
    return value.decode("utf-8", "replace")

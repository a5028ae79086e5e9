"""The routes of the control API about the users and the media of one of our servers.

Rules: as in `control.routes`. What is defined is served to other servers at once.
"""

import base64
import binascii
from random import Random

from msgspec import UnsetType

from homeserver.config.values import Profile
from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound, TooLarge
from homeserver.protocol.identifiers import UserId
from homeserver.users.control_views import (
    DeviceBody,
    MediaList,
    MediaView,
    NewMediaBody,
    NewUserBody,
    ThumbnailBody,
    UserList,
    UserView,
)
from homeserver.users.device_list_routes import device_list_routes
from homeserver.users.device_lists import KeptDeviceLists
from homeserver.users.made_keys import KeyMaker, Signer
from homeserver.users.media import File, Media, MediaShelf
from homeserver.users.users import Device, User, Users

_MAX_USER_BYTES = 1_000_000  # with a thousand users, a gigabyte at most

_Bare = Call[Nothing, Nothing]


class UserDesk:
    """Defines the users and media of a server as the control API asks."""

    def __init__(
        self, users: Users, media: MediaShelf, random: Random, workers: int
    ) -> None:
        """`random` makes keys."""
        self._users = users
        self._media = media
        self._random = random
        self.workers = workers

    def define(self, call: Call[Nothing, NewUserBody]) -> UserView:
        """Define a user of the server, with devices, keys and OpenID tokens."""
        self._check_alone()
        body, own = call.body, self._users.server_name
        if UserId.parse(body.user_id).server_name != own:
            raise InvalidParam(f"`user_id` is not of a user of {own}")
        user = self._built(body)
        view = UserView.of(user)
        if len(encode(_plain(user))) > _MAX_USER_BYTES:
            raise TooLarge(f"the keys of a user have at most {_MAX_USER_BYTES} bytes")
        self._users.put(user)
        return view

    def listed(self, _: _Bare) -> UserList:
        """The users that are defined."""
        return UserList([UserView.of(each) for each in self._users])

    def shown(self, call: _Bare) -> UserView:
        """A user, with the one-time keys that are left."""
        return UserView.of(self._users.known(_text(call, "user_id")))

    def remove(self, call: _Bare) -> Nothing:
        """Let a user end."""
        self._users.remove(_text(call, "user_id"))
        return Nothing()

    def define_media(self, call: Call[Nothing, NewMediaBody]) -> MediaView:
        """Define media of the server."""
        self._check_alone()
        body = call.body
        thumbnail = None
        if body.thumbnail is not None:
            thumbnail = _file(body.thumbnail, "`thumbnail`")
        media = Media(
            media_id=body.media_id,
            file=_file(body, "the media"),
            filename=body.filename,
            location=body.location,
            thumbnail=thumbnail,
        )
        self._media.put(media)
        return self._view(media)

    def listed_media(self, _: _Bare) -> MediaList:
        """The media that are defined."""
        return MediaList([self._view(each) for each in self._media])

    def remove_media(self, call: _Bare) -> Nothing:
        """Let media end."""
        self._media.remove(_text(call, "media_id"))
        return Nothing()

    def _check_alone(self) -> None:
        """Raise `Forbidden` where other workers would not know of what is defined."""
        if self.workers > 1:
            raise Forbidden(
                "users and media are in the memory of one process; run one worker"
            )

    def _built(self, body: NewUserBody) -> User:
        maker = KeyMaker(body.user_id, self._random)
        master, self_signing, by_own = body.master_key, body.self_signing_key, None
        if body.cross_signing:
            made_master, made_own, by_own = maker.cross_signing()
            master, self_signing = master or made_master, self_signing or made_own
        devices: dict[str, Device] = {}
        for each in body.devices:
            if each.device_id in devices:
                raise InvalidParam("two of the `devices` have one `device_id`")
            devices[each.device_id] = _device(each, maker, by_own)
        profile = Profile(body.displayname, body.avatar_url)
        return User(
            user_id=body.user_id,
            stream_id=body.stream_id or self._users.next_stream_id(),
            profile=None if profile == Profile() else profile,
            devices=devices,
            master_key=master,
            self_signing_key=self_signing,
            openid_tokens=body.openid_tokens,
        )

    def _view(self, media: Media) -> MediaView:
        uri = f"mxc://{self._users.server_name}/{media.media_id}"
        return MediaView(media.media_id, uri, media.file.content_type, media.length)


def _device(body: DeviceBody, maker: KeyMaker, by_own: Signer | None) -> Device:
    made, signer = maker.device(body.device_id)
    if by_own is not None:
        made = by_own.sign(made)
    one_time, fallback = body.one_time_keys, body.fallback_keys
    if isinstance(one_time, int):
        one_time = maker.one_time(signer, one_time)
    if isinstance(fallback, bool):
        fallback = maker.one_time(signer, int(fallback), is_fallback=True)
    return Device(
        device_id=body.device_id,
        display_name=body.display_name,
        keys=made if isinstance(body.keys, UnsetType) else body.keys,
        one_time_keys=dict(one_time),
        fallback_keys=fallback,
    )


def _plain(user: User) -> Json:
    return {
        "devices": [
            [each.keys, each.one_time_keys, each.fallback_keys]
            for each in user.devices.values()
        ],
        "cross_signing": [user.master_key, user.self_signing_key],
    }


def _file(body: NewMediaBody | ThumbnailBody, what: str) -> File:
    if body.content is not None and body.content_base64 is not None:
        raise InvalidParam(f"{what}: there is `content` and `content_base64`")
    if body.content_base64 is None:
        return File(body.content_type, (body.content or "").encode("utf-8"))
    try:
        content = base64.b64decode(body.content_base64, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParam(f"{what}: `content_base64` is not base64") from None
    return File(body.content_type, content)


def _text(call: _Bare, name: str) -> str:
    return call.parameters[name].decode("utf-8", "replace")


def user_control_routes(desk: UserDesk, lists: KeptDeviceLists) -> list[ControlRoute]:
    """The users and the media of a server, and the devices of others' users."""
    every, one = "/v1/users", "/v1/users/{user_id}"
    media, found = "/v1/media", (NotFound,)
    posted = (Forbidden, TooLarge)
    return [
        route("POST", every, desk.define, errors=posted),
        route("GET", every, desk.listed),
        route("GET", one, desk.shown, errors=found),
        route("DELETE", one, desk.remove, errors=found),
        route("POST", media, desk.define_media, errors=posted),
        route("GET", media, desk.listed_media),
        route("DELETE", f"{media}/{{media_id}}", desk.remove_media, errors=found),
        *device_list_routes(lists),
    ]

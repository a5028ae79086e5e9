"""The bodies and answers of the control API about users and media, as structs.

Rules: as in `control.views`.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from homeserver.control.views import Object
from homeserver.users.users import User

Token = Annotated[str, Meta(min_length=1, max_length=1000)]
Text = Annotated[str, Meta(max_length=1000)]
UserIdText = Annotated[str, Meta(description="A user of the server.")]
MediaId = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9_.-]{1,255}\Z",
        description="The end of an `mxc://` URI: up to 255 letters, digits and `_.-`.",
    ),
]
ContentType = Annotated[
    str,
    Meta(pattern=r"\A[!-~]+/[ -~]+\Z", max_length=200, description="A media type."),
]
Content = Annotated[str | None, Meta(description="The bytes, as text in UTF-8.")]
InBase64 = Annotated[
    str | None, Meta(description="The bytes in base64, in place of text.")
]


class DeviceBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A device of a user."""

    device_id: Annotated[str, Meta(min_length=1, max_length=255)]
    display_name: Text | None = None
    keys: Annotated[
        Object | UnsetType | None,
        Meta(
            description="Its keys as clients upload them; null for a device without "
            "keys. By default they are made, and signed."
        ),
    ] = UNSET
    one_time_keys: Annotated[
        Object | Annotated[int, Meta(ge=0, le=1000)],
        Meta(
            description="Keys that are handed out once, by algorithm and ID, in this "
            "order; or how many of them are made."
        ),
    ] = 0
    fallback_keys: Annotated[
        Object | bool,
        Meta(
            description="Keys that are handed out when no other one is left, by "
            "algorithm and ID; or whether one is made."
        ),
    ] = False


class NewUserBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A user, in place of one of the same ID."""

    user_id: UserIdText
    displayname: Text | None = None
    avatar_url: (
        Annotated[str, Meta(pattern=r"\Amxc://", description="An `mxc://` URI.")] | None
    ) = None
    devices: Annotated[list[DeviceBody], Meta(max_length=100)] = []
    cross_signing: Annotated[
        bool,
        Meta(
            description="Whether cross-signing keys are made, which sign the devices "
            "whose keys are made."
        ),
    ] = False
    master_key: Annotated[
        Object | None, Meta(description="In place of one that is made.")
    ] = None
    self_signing_key: Annotated[
        Object | None, Meta(description="In place of one that is made.")
    ] = None
    openid_tokens: Annotated[
        list[Token],
        Meta(max_length=100, description="Tokens that stand for the user."),
    ] = []
    stream_id: Annotated[
        Annotated[int, Meta(ge=1, le=2**53 - 1)] | None,
        Meta(description="The version of the devices; by default a new one."),
    ] = None


class UserDeviceView(Struct, frozen=True):
    """A device of a user, as it is now."""

    device_id: str
    display_name: str | None
    keys: Object | None
    one_time_keys: Annotated[
        Object, Meta(description="Those that were not handed out yet.")
    ]
    fallback_keys: Object


class UserView(Struct, frozen=True):
    """A user, as it is now."""

    user_id: str
    stream_id: Annotated[int, Meta(description="The version of the devices.")]
    displayname: str | None
    avatar_url: str | None
    devices: list[UserDeviceView]
    master_key: Object | None
    self_signing_key: Object | None
    openid_tokens: list[str]

    @classmethod
    def of(cls, user: User) -> "UserView":
        """That of a user."""
        profile = user.profile
        return cls(
            user.user_id,
            user.stream_id,
            None if profile is None else profile.displayname,
            None if profile is None else profile.avatar_url,
            [
                UserDeviceView(
                    x.device_id,
                    x.display_name,
                    x.keys,
                    dict(x.one_time_keys),
                    x.fallback_keys,
                )
                for x in user.devices.values()
            ],
            user.master_key,
            user.self_signing_key,
            [*user.openid_tokens],
        )


class UserList(Struct, frozen=True):
    """The users of a server, in the order in which they were defined."""

    users: list[UserView]


class ThumbnailBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A thumbnail of media, of any size."""

    content_type: ContentType = "image/png"
    content: Content = None
    content_base64: InBase64 = None


class NewMediaBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Media, in place of those of the same ID."""

    media_id: MediaId
    content_type: ContentType = "text/plain"
    content: Content = None
    content_base64: InBase64 = None
    filename: Text | None = None
    location: Annotated[
        Annotated[
            str, Meta(pattern=r"\A[!-~]+\Z", max_length=2000, description="A URL.")
        ]
        | None,
        Meta(description="A URL that is served in place of the bytes."),
    ] = None
    thumbnail: Annotated[
        ThumbnailBody | None,
        Meta(description="By default images are their own thumbnails."),
    ] = None


class MediaView(Struct, frozen=True):
    """Media of a server."""

    media_id: str
    uri: Annotated[str, Meta(description="As events name them: `mxc://`.")]
    content_type: str
    length: Annotated[int, Meta(description="In bytes, with the thumbnail.")]


class MediaList(Struct, frozen=True):
    """The media of a server, in the order in which they were defined."""

    media: list[MediaView]

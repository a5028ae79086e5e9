"""The answers of the control API about the devices of other servers' users.

Rules: as in `control.views`.
"""

from typing import Annotated

from msgspec import Meta, Struct

from homeserver.control.views import Object
from homeserver.storage.device_lists import KnownDevices

StreamId = Annotated[
    int | None,
    Meta(description="The version of the list; null if it was never fetched."),
]
Problem = Annotated[
    str | None,
    Meta(
        description="Why the list is not up to date; null if it is. The next update of "
        "the user makes the server fetch it."
    ),
]


class DeviceListBrief(Struct, frozen=True):
    """The device list of a user, without the devices."""

    user_id: str
    stream_id: StreamId
    devices: Annotated[int, Meta(description="How many there are.")]
    problem: Problem

    @classmethod
    def of(cls, known: KnownDevices) -> "DeviceListBrief":
        """That of a user."""
        found = known.devices
        return cls(
            known.user.user_id,
            None if found is None else found.stream_id,
            0 if found is None else len(found.devices),
            known.problem,
        )


class DeviceLists(Struct, frozen=True):
    """The device lists of users that share a room with users of the server."""

    device_lists: Annotated[
        list[DeviceListBrief], Meta(description="In the order of user IDs.")
    ]


class ListedDeviceView(Struct, frozen=True):
    """A device of a user of another server."""

    device_id: str
    display_name: str | None
    keys: Object | None


class DeviceListView(Struct, frozen=True):
    """The device list of a user."""

    user_id: str
    stream_id: StreamId
    devices: list[ListedDeviceView]
    master_key: Object | None
    self_signing_key: Object | None
    problem: Problem

    @classmethod
    def of(cls, known: KnownDevices) -> "DeviceListView":
        """That of a user."""
        found = known.devices
        devices = [] if found is None else list(found.devices.values())
        return cls(
            known.user.user_id,
            None if found is None else found.stream_id,
            [ListedDeviceView(x.device_id, x.display_name, x.keys) for x in devices],
            None if found is None else found.master_key,
            None if found is None else found.self_signing_key,
            known.problem,
        )

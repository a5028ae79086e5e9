"""The routes of the control API about the devices of other servers' users.

Rules: as in `control.routes`. Nothing is fetched for an answer.
"""

from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import UserId
from homeserver.users.device_list_views import (
    DeviceListBrief,
    DeviceLists,
    DeviceListView,
)
from homeserver.users.device_lists import KeptDeviceLists

_Bare = Call[Nothing, Nothing]


def device_list_routes(lists: KeptDeviceLists) -> list[ControlRoute]:
    """The device lists that one of our servers keeps."""

    async def listed(_: _Bare) -> DeviceLists:
        """The device lists that are kept of other servers' users."""
        return DeviceLists([DeviceListBrief.of(x) async for x in lists.each()])

    async def shown(call: _Bare) -> DeviceListView:
        """The devices of a user of another server, as they are known here."""
        text = call.parameters["user_id"].decode("utf-8", "replace")
        return DeviceListView.of(await lists.known(UserId.parse(text)))

    every = "/v1/device_lists"
    return [
        route("GET", every, listed),
        route("GET", f"{every}/{{user_id}}", shown, errors=(NotFound,)),
    ]

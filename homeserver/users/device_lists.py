"""The devices of other servers' users, kept as their servers tell of changes.

Theory: `m.device_list_update` names the update before it. Where that is the last one
that is known here, the update is applied; otherwise others are missing, and the list is
fetched from the user's server (`device_list_fetches`).

| known of the user | update | list afterwards |
|---|---|---|
| nothing | any | fetched |
| an up-to-date list | comes after it | the list with the update |
| an up-to-date list | comes after another one | fetched |
| an up-to-date list | that makes it too large, or of a wrong form | fetched |
| a list that is not up to date | any | fetched |

The updates of a user in one transaction are one change of the list.

Rules: a list is kept of a user that shares a room with one of ours, and of no other
one; it is forgotten with the last room that they share. Only an update makes us ask.
The server of the user is the origin of the update.

Specification: Server-server API, "Device Management".
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from secrets import token_hex

from msgspec.structs import replace

from homeserver.net.cause import Cause
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json, as_object, as_text
from homeserver.protocol.device_lists import (
    DeviceList,
    after_signing_keys,
    after_update,
    bounded,
)
from homeserver.protocol.errors import MISSING, NotFound, ProtocolError, quote
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.storage.device_lists import Change, DeviceListStore, KnownDevices
from homeserver.users.device_list_fetches import DeviceListFetches

_UPDATE = "m.device_list_update"
_KINDS = frozenset({_UPDATE, "m.signing_key_update"})

SharingRoom = Callable[[Collection[UserId]], Awaitable[set[UserId]]]
"""Those of some users that are in a room with a user of ours, now."""


class KeptDeviceLists:
    """The device lists of other servers' users that one of our servers keeps."""

    def __init__(
        self,
        store: DeviceListStore,
        fetches: DeviceListFetches,
        sharing_room: SharingRoom,
        pace: Pace,
    ) -> None:
        """`pace` is that of the work on all transactions."""
        self._store = store
        self._fetches = fetches
        self._sharing_room = sharing_room
        self._pace = pace

    async def take_in(
        self, origin: ServerName, edus: Sequence[Json], cause: Cause
    ) -> None:
        """Take in what checked EDUs of a server tell of its users' devices.

        Fetches go on after it; they are charged to `cause`. Raises `StoreUnavailable`.
        """
        updates: dict[UserId, list[Json]] = {}
        for edu in edus:
            if edu["edu_type"] in _KINDS:
                updates.setdefault(_user_in(edu), []).append(edu)
        sharing = await self._sharing_room(updates.keys())
        await self._store.forget(updates.keys() - sharing)
        for user, told in updates.items():
            await self._pace.pause()
            if user in sharing:
                known = await self._store.change(user, _change(told, user))
                if known is not None and known.problem is not None:
                    self._fetches.want(user, known.wanted_by, cause)

    def stop(self) -> None:
        """End all fetches."""
        self._fetches.stop()

    async def known(self, user: UserId) -> KnownDevices:
        """What is known of a user; raises `NotFound`, `StoreUnavailable`."""
        known = await self._store.find(user)
        if known is not None and not await self._sharing_room({user}):
            await self._store.forget([user])
            known = None
        if known is None:
            raise NotFound(f"no devices of {quote(user.user_id)} are known here")
        return known

    async def each(self) -> AsyncIterator[KnownDevices]:
        """What is known, in the order of user IDs; raises `StoreUnavailable`.

        One list is read at a time: all together may have forty megabytes.
        """
        users = await self._store.users()
        sharing = await self._sharing_room(users)
        await self._store.forget(set(users) - sharing)
        for user in users:
            known = await self._store.find(user) if user in sharing else None
            if known is not None:
                yield known


def _user_in(edu: Json) -> UserId:
    """The user that a checked EDU is about."""
    content = as_object(edu["content"], "`content`")
    return UserId.parse(as_text(content.get("user_id", MISSING), "`user_id`"))


def _change(edus: Sequence[Json], user: UserId) -> Change:
    """The change that the EDUs of a transaction about a user make together.

    A list is read and written whole, so each of them alone would cost as much.
    """
    wanted_by = token_hex(8)

    def change(known: KnownDevices | None) -> KnownDevices | None:
        if known is None:
            # Cross-signing keys alone are no list.
            if all(edu["edu_type"] != _UPDATE for edu in edus):
                return None
            why = "the devices were not fetched yet"
            return KnownDevices(user, None, why, wanted_by)
        devices = known.devices
        if devices is None or known.problem is not None:
            return replace(known, wanted_by=wanted_by)
        try:
            after = _after(devices, edus, user)
        except ProtocolError as problem:
            why = f"an update is wrong: {problem}"
            return KnownDevices(user, devices, why, wanted_by)
        if after is None:
            why = "an update comes after another one that is missing here"
            return KnownDevices(user, devices, why, wanted_by)
        return KnownDevices(user, after)

    return change


def _after(
    devices: DeviceList, edus: Sequence[Json], user: UserId
) -> DeviceList | None:
    """The list after all EDUs; None if an update is missing; raises `ProtocolError`."""
    found: DeviceList | None = devices
    for edu in edus:
        if found is None:
            return None
        content = as_object(edu["content"], "`content`")
        if edu["edu_type"] == _UPDATE:
            found = after_update(found, content, user)
        else:
            found = after_signing_keys(found, content)
    return found and bounded(found)

"""The devices of a user, as the user's server tells them to other servers.

Rules: a list is of one user and whole. It follows from a reply, or from the list before
it by an update that names that one. Stream IDs are compared for equality alone, so an
absurd one keeps no later update out. Whatever has a wrong form changes nothing.

Specification: Server-server API, "Device Management"; Client-server API, "Device keys".
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from homeserver.protocol.canonical_json import (
    Json,
    as_integer,
    as_list,
    as_object,
    as_text,
    check_numbers,
)
from homeserver.protocol.errors import MISSING, BadJson, TooLarge, quote
from homeserver.protocol.identifiers import UserId

MAX_LIST_BYTES = 500_000  # a device has about a thousand
MAX_DEVICES = 1000

_SIGNING_KEYS = ("master_key", "self_signing_key")


class ListedDevice(Struct, frozen=True):
    """A device of a list."""

    device_id: str
    display_name: str | None = None
    keys: Json | None = None
    """Its device keys; None for a device without end-to-end encryption."""


class DeviceList(Struct, frozen=True):
    """The devices of a user, at one place of the stream of updates."""

    stream_id: int
    devices: Mapping[str, ListedDevice]
    """By their IDs."""

    master_key: Json | None = None
    self_signing_key: Json | None = None


def parse_device_list(reply: Json, user: UserId) -> DeviceList:
    """The devices of `user`, from the reply of `user/devices`.

    Raises `BadJson` for a wrong form, and for another user's; `TooLarge`.
    """
    _check_user(reply, user, "the reply")
    devices: dict[str, ListedDevice] = {}
    for each in as_list(reply.get("devices", MISSING), "`devices`"):
        device = _device(as_object(each, "an entry of `devices`"), user)
        if device.device_id in devices:
            raise BadJson(f"`devices` has {quote(device.device_id)} twice")
        devices[device.device_id] = device
    return bounded(
        DeviceList(
            _stream_id(reply),
            devices,
            *(_signing_key(reply, name) for name in _SIGNING_KEYS),
        )
    )


def after_update(known: DeviceList, update: Json, user: UserId) -> DeviceList | None:
    """The list after an `m.device_list_update`, given its content.

    None if the update does not say that it comes after `known`, so that others may be
    missing. Raises `BadJson`. The list may be too large: see `bounded`.
    """
    stream_id = _stream_id(update)
    if stream_id == known.stream_id:
        return known  # it came again
    if as_list(update.get("prev_id", []), "`prev_id`") != [known.stream_id]:
        return None
    devices = dict(known.devices)
    device = _device(update, user)
    if update.get("deleted") is True:
        devices.pop(device.device_id, None)
    else:
        devices[device.device_id] = device
    return replace(known, stream_id=stream_id, devices=devices)


def after_signing_keys(known: DeviceList, update: Json) -> DeviceList:
    """The list after an `m.signing_key_update`, given its content.

    Raises `BadJson`. The list may be too large: see `bounded`.
    """
    changed = {each: _signing_key(update, each) for each in _SIGNING_KEYS}
    present = {name: key for name, key in changed.items() if key is not None}
    return replace(known, **present)


def bounded(found: DeviceList) -> DeviceList:
    """The same list; raises `TooLarge`.

    It takes as long as writing the list: once for all changes that come together.
    """
    if len(found.devices) > MAX_DEVICES:
        raise TooLarge(f"there are more than {MAX_DEVICES} devices")
    if len(msgspec.json.encode(found)) > MAX_LIST_BYTES:
        raise TooLarge(f"the list has more than {MAX_LIST_BYTES} bytes")
    return found


def _stream_id(entry: Json) -> int:
    stream_id = as_integer(entry.get("stream_id", MISSING), "`stream_id`")
    check_numbers(stream_id)
    return stream_id


def _device(entry: Json, user: UserId) -> ListedDevice:
    device_id = as_text(entry.get("device_id", MISSING), "`device_id`")
    name, keys = entry.get("device_display_name"), entry.get("keys")
    return ListedDevice(
        device_id,
        None if name is None else as_text(name, "`device_display_name`"),
        None if keys is None else _device_keys(keys, device_id, user),
    )


def _device_keys(value: object, device_id: str, user: UserId) -> Json:
    """Device keys of the form that the specification gives them."""
    what = f"`keys` of the device {quote(device_id)}"
    keys = as_object(value, what)
    _check_user(keys, user, what)
    named = keys.get("device_id", MISSING)
    if named != device_id:
        raise BadJson(f"{what}: `device_id` is {quote(named)}, not {quote(device_id)}")
    for each in as_list(keys.get("algorithms", MISSING), f"`algorithms` in {what}"):
        as_text(each, f"an algorithm in {what}")
    _check_texts(keys.get("keys", MISSING), f"`keys` in {what}")
    signers = as_object(keys.get("signatures", MISSING), f"`signatures` in {what}")
    for signatures in signers.values():
        _check_texts(signatures, f"the signatures of a user in {what}")
    return _signed(keys, what)


def _signing_key(entry: Json, name: str) -> Json | None:
    value = entry.get(name)
    if value is None:
        return None
    return _signed(as_object(value, f"`{name}`"), f"`{name}`")


def _signed(keys: Json, what: str) -> Json:
    """The same keys; raises `BadJson` where they have no canonical JSON to sign."""
    try:
        check_numbers(keys)
    except BadJson as problem:
        raise BadJson(f"{what}: {problem}") from None
    return keys


def _check_user(value: Json, user: UserId, what: str) -> None:
    named = value.get("user_id", MISSING)
    if named != user.user_id:
        raise BadJson(f"{what}: `user_id` is {quote(named)}, not {quote(user.user_id)}")


def _check_texts(value: object, what: str) -> None:
    """Raise `BadJson` for anything but an object of strings."""
    for each in as_object(value, what).values():
        as_text(each, f"a member of {what}")

"""The devices of a user, as the user's server tells them."""

import contextlib
from random import Random

import msgspec
import pytest
from hypothesis import given

from homeserver.protocol import device_lists
from homeserver.protocol.canonical_json import Json, encode, parse_object
from homeserver.protocol.device_lists import (
    DeviceList,
    ListedDevice,
    after_signing_keys,
    after_update,
    bounded,
    parse_device_list,
)
from homeserver.protocol.errors import BadJson, ProtocolError, TooLarge
from homeserver.protocol.identifiers import UserId
from tests.support.fuzzing import INPUTS, fuzzed, randoms
from tests.support.mutations import mutated_json

BOB = UserId.parse("@bob:them.example")

KEYS: Json = {
    "user_id": BOB.user_id,
    "device_id": "A",
    "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
    "keys": {"ed25519:A": "x", "curve25519:A": "y"},
    "signatures": {BOB.user_id: {"ed25519:A": "z"}},
}
MASTER: Json = {"usage": ["master"]}

KNOWN = DeviceList(7, {"A": ListedDevice("A", "phone", KEYS)}, MASTER)


def reply(**members: object) -> Json:
    """A reply of `user/devices`, sound unless members are in place of others."""
    device = {"device_id": "A", "device_display_name": "phone", "keys": KEYS}
    return {
        "user_id": BOB.user_id,
        "stream_id": 7,
        "devices": [device],
        "master_key": MASTER,
        **members,
    }


def update(**members: object) -> Json:
    """The content of an update that comes after `KNOWN`."""
    usual: Json = {"user_id": BOB.user_id, "device_id": "B", "stream_id": 8}
    return {**usual, "prev_id": [7], **members}


def test_a_reply() -> None:
    """It is the whole list; what it does not say of a device is not known."""
    assert parse_device_list(reply(), BOB) == KNOWN
    bare = parse_device_list(reply(devices=[{"device_id": "A"}]), BOB)
    assert bare.devices == {"A": ListedDevice("A")}


def with_keys(**members: object) -> list[Json]:
    """A device whose keys are other ones."""
    return [{"device_id": "A", "keys": {**KEYS, **members}}]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"user_id": "@eve:them.example"}, "`user_id` is '@eve:them.example'"),
        ({"user_id": None}, "`user_id` is null"),
        ({"stream_id": "7"}, "`stream_id`"),
        ({"stream_id": 7.5}, "`stream_id`"),
        ({"devices": {}}, "`devices`"),
        ({"devices": ["A"]}, "an entry of `devices`"),
        ({"devices": [{}]}, "`device_id`"),
        ({"devices": [{"device_id": "A"}] * 2}, "'A' twice"),
        (
            {"devices": [{"device_id": "A", "device_display_name": 1}]},
            "`device_display_name`",
        ),
        ({"devices": [{"device_id": "A", "keys": []}]}, "`keys` of the device 'A'"),
        ({"devices": with_keys(user_id="@eve:them.example")}, "not '@bob:them"),
        ({"devices": with_keys(device_id="B")}, "`device_id` is 'B', not "),
        ({"devices": with_keys(algorithms="a")}, "`algorithms`"),
        ({"devices": with_keys(algorithms=[1])}, "an algorithm"),
        ({"devices": with_keys(keys={"ed25519:A": 1})}, "`keys` in"),
        ({"devices": with_keys(signatures=None)}, "`signatures`"),
        ({"devices": with_keys(signatures={BOB.user_id: "z"})}, "signatures of a user"),
        ({"devices": with_keys(more=1.5)}, "`keys` of the device 'A': canonical"),
        ({"devices": with_keys(more=[-(2**63) - 1])}, "no integers beyond"),
        ({"stream_id": -(2**63) - 1}, "no integers beyond"),
        ({"stream_id": True}, "`stream_id`"),
        ({"master_key": "x"}, "`master_key`"),
        ({"master_key": {"usage": 2**53}}, "`master_key`: canonical JSON"),
    ],
)
def test_a_wrong_reply(members: Json, why: str) -> None:
    """It is refused as a whole, and the reason names the place."""
    with pytest.raises(BadJson) as raised:
        parse_device_list(reply(**members), BOB)
    assert why in str(raised.value)


def test_a_reply_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices and bytes have limits."""
    many = [{"device_id": str(number)} for number in range(1001)]
    with pytest.raises(TooLarge, match="1000 devices"):
        parse_device_list(reply(devices=many), BOB)
    long = [{"device_id": "A", "device_display_name": "x" * 500_000}]
    with pytest.raises(TooLarge, match="500000 bytes"):
        parse_device_list(reply(devices=long), BOB)
    monkeypatch.setattr(device_lists, "MAX_DEVICES", 1)
    after = after_update(KNOWN, update(), BOB)
    assert after is not None
    with pytest.raises(TooLarge, match="1 devices"):
        bounded(after)


def test_updates() -> None:
    """A new device, another name, and one that is gone; the rest stays."""
    new = after_update(KNOWN, update(device_display_name="tablet"), BOB)
    assert new == DeviceList(
        8, {**KNOWN.devices, "B": ListedDevice("B", "tablet")}, MASTER
    )
    gone = update(device_id="A", deleted=True)
    assert after_update(KNOWN, gone, BOB) == DeviceList(8, {}, MASTER)
    unknown = update(device_id="C", deleted=True)
    assert after_update(KNOWN, unknown, BOB) == DeviceList(8, KNOWN.devices, MASTER)


@pytest.mark.parametrize("prev", [[], [6], [7, 6], [-(2**53) + 1]])
def test_an_update_after_another_one(prev: list[int]) -> None:
    """It cannot be applied, as something may be missing."""
    assert after_update(KNOWN, update(prev_id=prev), BOB) is None


def test_stream_ids_have_no_order() -> None:
    """A known one changes nothing; an absurd one keeps no later update out."""
    assert after_update(KNOWN, update(stream_id=7, prev_id=[1]), BOB) is KNOWN
    huge = after_update(KNOWN, update(stream_id=2**53 - 1), BOB)
    assert huge is not None
    back = after_update(huge, update(stream_id=-3, prev_id=[2**53 - 1]), BOB)
    assert back is not None
    assert back.stream_id == -3


def test_a_wrong_update() -> None:
    """Its keys have to be of the form that keys of a reply have."""
    with pytest.raises(ProtocolError, match="`keys` of the device 'B'"):
        after_update(KNOWN, update(keys=KEYS), BOB)


def test_signing_keys() -> None:
    """Those that are given replace those that are known."""
    own: Json = {"usage": ["self_signing"]}
    changed = after_signing_keys(KNOWN, {"self_signing_key": own})
    assert changed == DeviceList(7, KNOWN.devices, MASTER, own)
    with pytest.raises(BadJson, match="`master_key`"):
        after_signing_keys(KNOWN, {"master_key": []})


@fuzzed
@given(randoms)
def test_fuzzed(random: Random) -> None:
    """Whatever comes is a list that can be stored, or the fault of its server."""
    replies = [reply(), reply(self_signing_key={"keys": {"ed25519:x": "y"}})]
    updates = [update(), update(keys={**KEYS, "device_id": "B"}, deleted=False)]
    for _ in range(INPUTS):
        with contextlib.suppress(ProtocolError):
            found = parse_device_list(mutated(random, replies), BOB)
            stored = msgspec.json.encode(found)
            assert msgspec.json.decode(stored, type=DeviceList) == found
        with contextlib.suppress(ProtocolError):
            after_update(KNOWN, mutated(random, updates), BOB)
        with contextlib.suppress(ProtocolError):
            after_signing_keys(KNOWN, mutated(random, replies))


def mutated(random: Random, of: list[Json]) -> Json:
    """An object as it comes over the wire."""
    return parse_object(encode(mutated_json(random, of)))

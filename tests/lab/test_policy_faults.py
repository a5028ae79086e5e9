"""Faults of a policy server: what its signature is of, and by which key."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.lab.faults.policy import POLICY_FAULTS
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.signing import (
    POLICY_KEY_ID,
    SigningKey,
    parse_signatures,
    signed_bytes,
)
from tests.support.faulty_room import Scene
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import text


def is_signature(got: Any, key: SigningKey | None, pdu: Json) -> bool:
    """Whether an answer is the signature of an event by a key."""
    assert key is not None
    [signature] = parse_signatures({"signatures": got}, OUR_NAME).values()
    assert isinstance(signature, bytes)
    message = signed_bytes(redact(pdu, ROOM_VERSIONS["11"]))
    return key.verify_key.verify(message, signature)


def is_of_other_key(scene: Scene, pdu: Json, got: Any, right: Any) -> bool:
    """It is of the event that was sent, by a key that nothing names."""
    spare = scene.side.own_keys.spare(OUR_NAME.name, POLICY_KEY_ID)
    return got != right and is_signature(got, spare, pdu)


def is_of_other_event(scene: Scene, pdu: Json, got: Any, right: Any) -> bool:
    """It is by the right key, of an event that differs."""
    key = scene.side.own_keys.policy(OUR_NAME.name)
    return got != right and is_signature(got, key, {**pdu, "origin_server_ts": 0})


POLICY: dict[str, Callable[[Scene, Json, Any, Any], bool]] = {
    "policy.unsigned": lambda _, __, got, ___: got == {},
    "policy.wrong-key": is_of_other_key,
    "policy.other-event": is_of_other_event,
    "policy.other-server": lambda _, __, got, right: (
        [*got.values()] == [*right.values()] and got != right
    ),
}


@pytest.mark.parametrize("name", [*POLICY, "policy.refuse"])
def test_wrong_policy_servers(name: str) -> None:
    """They sign with another key, for another server, or not at all."""
    scene = Scene("11")
    scene.side.desk.open()
    event = scene.side.ours.send(scene.room, "m.room.message", text("a")).event
    path = "/_matrix/policy/v1/sign"
    right = scene.side.ask_at("POST", path, event.pdu)
    assert right.status == 200, right.json
    assert is_signature(right.json, scene.side.desk.key, event.pdu)
    scene.side.put({name: True})
    got = scene.side.ask_at("POST", path, event.pdu)
    if name == "policy.refuse":
        assert (got.status, got.json["errcode"]) == (400, "M_FORBIDDEN")
    else:
        assert POLICY[name](scene, event.pdu, got.json, right.json)


def test_each_fault_has_its_test() -> None:
    """None is left out."""
    assert POLICY_FAULTS.keys() == POLICY.keys() | {"policy.refuse"}

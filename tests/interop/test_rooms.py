"""Rooms in which Synapse and we send each other events, of every room version."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from nacl.signing import SigningKey as NaclSigningKey

from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.signing import SigningKey
from tests.interop.conftest import Pair
from tests.support.eventually import eventually
from tests.support.inbox import Inbox
from tests.support.signed_requests import KnownKeys, Peer
from tests.support.synapse_rooms import Membership, join
from tests.support.synapse_servers import FORGED
from tests.support.synapse_users import User

_numbers = count()

MESSAGE = {"msgtype": "m.text", "body": "hello"}


@pytest.fixture(scope="module", params=ROOM_VERSIONS)
def membership(pair: Pair, alice: User, request: pytest.FixtureRequest) -> Membership:
    """Bob of ours in a room of hers, of each version; we know its create event."""
    entered = enter(pair, alice, request.param)
    [create] = tell_us(pair, entered.create.pdu)
    assert create["verdict"] == "accepted"
    return entered


@pytest.fixture(scope="module")
def lately(pair: Pair, alice: User) -> Membership:
    """Bob of ours in a room of the version in which most rooms are made today."""
    return enter(pair, alice, "11")


def enter(pair: Pair, alice: User, room_version: str) -> Membership:
    """Let bob of ours join a new room of hers."""
    room_id = alice.create_room(room_version)
    bob = f"@bob:{pair.ours.name}"
    entered = join(pair.as_ours, pair.as_synapse.name, room_id, bob)
    assert entered.room_version.version == room_version
    return entered


def tell_us(pair: Pair, *pdus: dict[str, Any]) -> list[dict[str, Any]]:
    """Send us PDUs in Synapse's name; what we record of them."""
    txn_id = f"by-the-test-{next(_numbers)}"
    status, answer = pair.as_synapse.ask(
        pair.as_ours.name,
        "PUT",
        f"/_matrix/federation/v1/send/{txn_id}",
        {"pdus": list(pdus)},
    )
    assert status == 200, answer
    [recorded] = [
        each["pdus"] for each in pair.ours.ask("received") if each["txn_id"] == txn_id
    ]
    assert isinstance(recorded, list)
    return recorded


def tell_synapse(pair: Pair, event: Event) -> Any:
    """Send it an event as it is; what it says of it."""
    [state] = pair.ours.ask("send", pair.synapse.name, "--pdu", json.dumps(event.pdu))
    return state["reply"]["pdus"][event.event_id]


def received_pdu(pair: Pair, event_id: str) -> dict[str, Any]:
    """A PDU that we receive, with its verdict."""

    def look() -> list[dict[str, Any]]:
        transactions = pair.ours.ask("received", "--origin", pair.synapse.name)
        pdus = [pdu for each in transactions for pdu in each["pdus"]]
        return [pdu for pdu in pdus if pdu["event_id"] == event_id]

    return eventually(look)[0]


def test_hashes_agree(membership: Membership) -> None:
    """The state that a joining server is told has the hashes that we find in it.

    And the IDs by which Synapse names its events are those that we give them.
    """
    assert all(each.content_hash_matches for each in membership.state)
    known = {each.event_id for each in membership.state}
    references: Any = membership.join.pdu["auth_events"]
    named = {each if isinstance(each, str) else each[0] for each in references}
    assert named
    assert named <= known


def test_its_state_without_the_create_event(pair: Pair, membership: Membership) -> None:
    """Its events are accepted where nothing is known of their room."""
    synapse = Peer(pair.as_synapse.name, pair.as_synapse.key)
    for event in membership.state:
        inbox = Inbox(KnownKeys(synapse))
        inbox.take("1", event.pdu)
        assert [each["verdict"] for each in inbox.pdus] == ["accepted"]


def test_it_accepts_our_events(pair: Pair, alice: User, membership: Membership) -> None:
    """What bob says, hashed and signed by `homeserver send`, is what alice reads."""
    pdu = membership.event("m.room.message", MESSAGE)
    version = membership.room_version.version
    [state] = pair.ours.ask(
        *("send", pair.synapse.name, "--room-version", version),
        *("--pdu", json.dumps(pdu)),
    )
    [(event_id, verdict)] = state["reply"]["pdus"].items()
    assert verdict == {}
    found = eventually(lambda: alice.find(membership.join.room_id, event_id))
    assert (found["sender"], found["content"]) == (pdu["sender"], MESSAGE)


def test_we_accept_its_events(pair: Pair, alice: User, membership: Membership) -> None:
    """What alice says, and takes back, we know by the same IDs and find good."""
    room_id = membership.join.room_id
    said = alice.say(room_id, "hello")
    taken_back = alice.redact(room_id, said)
    for event_id, kind in (said, "m.room.message"), (taken_back, "m.room.redaction"):
        recorded = received_pdu(pair, event_id)
        assert recorded["event"]["type"] == kind
        assert recorded["room_version"] == membership.room_version.version
        assert recorded["verdict"] == "accepted"


def test_it_refuses_a_forged_event(pair: Pair, alice: User, lately: Membership) -> None:
    """An event that another key has signed is refused, and not there."""
    key = SigningKey(pair.as_ours.key.key_id, NaclSigningKey(b"1" * 32))
    forged = replace(lately, signer=replace(pair.as_ours, key=key)).sign(
        lately.event("m.room.message", MESSAGE)
    )
    assert tell_synapse(pair, forged) == {
        "error": "ERROR 403: unable to verify signature for sender domain "
        f"{pair.ours.name}: 401: "
        + FORGED.format(origin=pair.ours.name, key_id=key.key_id)
    }
    assert alice.find(lately.join.room_id, forged.event_id) == {}


def test_it_redacts_a_changed_event(
    pair: Pair, alice: User, lately: Membership
) -> None:
    """Of an event that was changed after it was hashed, its users see the rest."""
    pdu = deepcopy(lately.sign(lately.event("m.room.message", MESSAGE)).pdu)
    pdu["content"] = {**MESSAGE, "body": "goodbye"}
    changed = Event.parse(pdu, lately.room_version)
    assert tell_synapse(pair, changed) == {}
    found = eventually(lambda: alice.find(lately.join.room_id, changed.event_id))
    assert (found["type"], found["content"]) == ("m.room.message", {})


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda pdu: pdu["content"].update(body="bye"), "redacted: content hash"),
        (
            lambda pdu: pdu.update(depth=pdu["depth"] + 1),
            "rejected: signature does not verify",
        ),
    ],
    ids=["content", "depth"],
)
def test_we_refuse_its_events_when_changed(
    pair: Pair,
    alice: User,
    lately: Membership,
    change: Callable[[dict[str, Any]], object],
    verdict: str,
) -> None:
    """A changed event of Synapse is not accepted."""
    said = alice.say(lately.join.room_id, "hello")
    pdu = deepcopy(received_pdu(pair, said)["event"])
    change(pdu)
    [recorded] = tell_us(pair, pdu)
    assert recorded["verdict"].startswith(verdict)


def test_edus_of_a_room_reach_us(pair: Pair, alice: User, lately: Membership) -> None:
    """Typing, reading, presence and devices of its users come with nothing wrong."""
    room_id, me = lately.join.room_id, alice.user_id
    said = alice.say(room_id, "hello")
    alice.do("PUT", "rooms", room_id, "typing", me, content={"typing": True})
    alice.do("POST", "rooms", room_id, "receipt", "m.read", said, content={})
    status = {"presence": "online", "status_msg": "is tested"}
    alice.do("PUT", "presence", me, "status", content=status)
    [device] = alice.do("GET", "devices")["devices"]
    name = {"display_name": "teapot"}
    alice.do("PUT", "devices", device["device_id"], content=name)
    awaited = {"m.typing", "m.receipt", "m.presence", "m.device_list_update"}

    def look() -> list[dict[str, Any]]:
        transactions = pair.ours.ask("received", "--origin", pair.synapse.name)
        kinds = {edu["edu_type"] for each in transactions for edu in each["edus"]}
        return transactions if awaited <= kinds else []

    assert not any(each["problems"] for each in eventually(look))


def test_our_edus_reach_its_users(pair: Pair, alice: User, lately: Membership) -> None:
    """That bob types, reads and is there is what alice sees."""
    room_id, bob = lately.join.room_id, str(lately.join.sender)
    said = alice.say(room_id, "hello")
    read = {"data": {"ts": lately.join.origin_server_ts}, "event_ids": [said]}
    push = {"user_id": bob, "presence": "online", "status_msg": "is tested"}
    edus = {
        "m.typing": {"room_id": room_id, "user_id": bob, "typing": True},
        "m.receipt": {room_id: {"m.read": {bob: read}}},
        "m.presence": {"push": [{**push, "last_active_ago": 0}]},
    }
    for kind, content in edus.items():
        edu = {"edu_type": kind, "content": content}
        pair.ours.ask("send", pair.synapse.name, "--edu", json.dumps(edu))

    def look() -> bool:
        found = alice.sync()
        there = found["rooms"]["join"][room_id]["ephemeral"]["events"]
        contents = {each["type"]: each["content"] for each in there}
        presences = {
            each["sender"]: each["content"] for each in found["presence"]["events"]
        }
        return (
            bob in contents.get("m.typing", {}).get("user_ids", [])
            and bob in contents.get("m.receipt", {}).get(said, {}).get("m.read", {})
            and presences.get(bob, {}).get("status_msg") == "is tested"
        )

    eventually(look)

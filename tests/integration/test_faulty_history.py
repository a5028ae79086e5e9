"""Our own server asks a lying one for the past of a room, and for a signed invite.

Lies about the state of a room are in `test_state_lies`.
"""

import pytest

from homeserver.lab.faults.history import HISTORY_FAULTS
from homeserver.lab.faults.invites import INVITE_FAULTS
from homeserver.testing import Lab, LabError, Server
from tests.support.forged_events import ForgedRoom
from tests.support.lab_rules import acted, put

_MOST = 12
"""Requests by which our server may try to fill one gap; six are usual."""


def known(room: ForgedRoom, server: Server) -> set[str]:
    """The events of the room that a server has."""
    graph = room.call("GET", server, *room.at("graph"))
    return {each["event_id"] for each in graph["events"]}


def check_bounds(room: ForgedRoom, requests: int) -> None:
    """Nothing foreign was taken in, and there were no more requests than may be."""
    assert known(room, room.theirs) <= known(room, room.ours)
    asked = room.ours.exchanges(direction="in", kind="request", peer=room.theirs.name)
    assert len(asked) - requests <= _MOST


MISSING = [name for name in HISTORY_FAULTS if name.startswith("missing.")]
STATES = {
    "state-ids.empty": None,
    "state-ids.half": "accepted",
    "state-ids.invented": None,
    "event.missing": None,
    "event.other": None,
    "event.bad-signature": None,
}
"""The verdict on an event after a gap whose state comes so; None: not taken in."""


@pytest.mark.parametrize("version", ["1", "10"])
@pytest.mark.parametrize("name", [*MISSING, *STATES])
def test_gaps(lab: Lab, name: str, version: str) -> None:
    """What is missing is not to be had; then the state is asked for, and that lies."""
    room = ForgedRoom(lab, version)
    for number in range(3):
        room.forge(
            kind="m.room.topic",
            state_key="",
            content={"topic": str(number)},
            destinations=[],
            enter=True,
        )
    if name in STATES:
        put(lab, room.ours, {"missing.none": True})
    put(lab, room.ours, {name: True})
    before = room.ours.exchanges(direction="in", kind="request", peer=room.theirs.name)
    made = room.forge(enter=True)
    assert room.verdict(made["event_id"]) == STATES.get(name, "accepted")
    assert all(times for _, times in acted(lab, room.ours))
    check_bounds(room, len(before))


@pytest.mark.parametrize("version", ["1", "10"])
@pytest.mark.parametrize("name", ["event-auth.empty", "event-auth.half", ""])
def test_auth_chains(lab: Lab, name: str, version: str) -> None:
    """An event that cites unknown auth events is taken in once they are there."""
    room = ForgedRoom(lab, version)
    [end] = room.call("GET", room.ours, *room.at())["extremities"]
    levels = room.state(room.ours)["m.room.power_levels", ""]["content"]
    room.forge(
        kind="m.room.power_levels",
        state_key="",
        content={**levels, "kick": 60},
        destinations=[],
        enter=True,
    )
    if name:
        put(lab, room.ours, {name: True})
        # Else each event of the chain is asked for by its ID.
        put(lab, room.ours, {"event.missing": True})
    before = room.ours.exchanges(direction="in", kind="request", peer=room.theirs.name)
    auth = room.forge(destinations=[])["event"]["auth_events"]
    ids = [each if isinstance(each, str) else each[0] for each in auth]
    made = room.forge(auth_events=ids, prev_events=[end], enter=True)
    assert room.verdict(made["event_id"]) == (None if name else "accepted")
    check_bounds(room, len(before))


@pytest.mark.parametrize("version", ["1", "11", "12"])
@pytest.mark.parametrize("name", sorted(INVITE_FAULTS.keys() - {"invite.changed"}))
def test_invites(lab: Lab, name: str, version: str) -> None:
    """An invite that is not signed, or another event, is no part of the room."""
    room, other = ForgedRoom(lab, version), lab.server()
    user = f"@x:{other.name}"
    put(lab, other, {name: True})
    with pytest.raises(LabError):
        room.call("POST", room.ours, *room.at("invite"), content={"user_id": user})
    assert ("m.room.member", user) not in room.state(room.ours)


def test_an_invite_to_a_room_with_a_policy_server(lab: Lab) -> None:
    """The policy server signs it before the invited user's server does."""
    room, other = ForgedRoom(lab, "11"), lab.server()
    policy = room.call("POST", room.ours, "policy")
    room.send("m.room.policy", policy["content"], "")
    user = f"@x:{other.name}"
    room.call("POST", room.ours, *room.at("invite"), content={"user_id": user})
    signatures = room.state(room.ours)["m.room.member", user]["signatures"]
    assert "ed25519:policy_server" in signatures[room.ours.name]
    assert other.name in signatures


def test_a_changed_invite(lab: Lab) -> None:
    """Our own event is sent, with the signature of the answer."""
    room, other = ForgedRoom(lab, "11"), lab.server()
    user = f"@x:{other.name}"
    put(lab, other, {"invite.changed": True})
    room.call("POST", room.ours, *room.at("invite"), content={"user_id": user})
    invite = room.state(room.ours)["m.room.member", user]
    assert invite["content"] == {"membership": "invite"}
    assert other.name in invite["signatures"]

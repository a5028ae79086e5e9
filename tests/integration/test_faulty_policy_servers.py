"""A server of a lab whose room has a policy server that is wrong on purpose."""

import pytest

from homeserver.lab.faults.policy import POLICY_FAULTS
from homeserver.testing import Lab, LabError
from tests.support.forged_events import ForgedRoom
from tests.support.lab_rules import acted, put


def guarded(lab: Lab) -> ForgedRoom:
    """A room in which the other server is the policy server."""
    room = ForgedRoom(lab, "11")
    policy = room.call("POST", room.theirs, "policy")
    room.send("m.room.policy", policy["content"], "")
    return room


@pytest.mark.parametrize("name", POLICY_FAULTS)
def test_what_is_sent(lab: Lab, name: str) -> None:
    """Our server sends no event without the right signature, and says why."""
    room = guarded(lab)
    before = room.ends()
    put(lab, room.theirs, {name: True})
    with pytest.raises(LabError, match="policy server") as refused:
        room.send()
    assert refused.value.status == 403
    assert [times for _, times in acted(lab, room.theirs)] == [1]
    assert room.ends() == before


@pytest.mark.parametrize("name", POLICY_FAULTS)
def test_what_is_received(lab: Lab, name: str) -> None:
    """An event without the signature is soft-failed, after one question."""
    room = guarded(lab)
    third = lab.server()
    via = {"via": [room.ours.name]}
    room.call("POST", third, *room.at("join"), content=via)
    put(lab, room.theirs, {name: True})
    made = room.forge(destinations=[third.name])
    found = room.event(made["event_id"], third)
    assert found["verdict"] == "soft-failed"
    assert [times for _, times in acted(lab, room.theirs)] == [1]

"""Our own server joins through servers of a lab that are wrong on purpose."""

from typing import Any

import pytest

from homeserver.lab.faults.joins import SEND_JOIN_FAULTS
from homeserver.lab.faults.templates import TEMPLATE_FAULTS
from homeserver.testing import Lab, LabError, Server
from tests.support.eventually import HANGING_SECONDS
from tests.support.lab_rules import put

VERSIONS = ("10", "12")

STANDS = {
    "template.depth",  # no rule forbids it
    "send-join.other-room",
    "send-join.unsigned",
    "send-join.no-event",
    "send-join.other-event",
}
"""With these the join stands: what is wrong is left out, or does not matter."""

UNSENT = TEMPLATE_FAULTS.keys() - {
    "template.depth",
    "template.auth-events",
    "template.prev-events",
}
"""With these no event is signed and sent."""


class Joining:
    """A room of one server, and another server that joins it."""

    def __init__(self, lab: Lab, version: str) -> None:
        self.lab = lab
        self.theirs, self.ours = lab.server(), lab.server()
        new = {"preset": "public_chat", "room_version": version, "topic": "T"}
        made = self.call("POST", self.theirs, "rooms", content=new)
        self.room_id: str = made["room_id"]

    def call(
        self, method: str, server: Server, *steps: str, content: object = None
    ) -> Any:
        """Ask the control API about a server."""
        where = "v1", "servers", server.name, *steps
        return self.lab.link.call(
            method, *where, content=content, seconds=HANGING_SECONDS
        )

    def join(self, *via: Server) -> Any:
        """Join through servers in this order."""
        content = {"via": [each.name for each in via]}
        steps = "rooms", self.room_id, "join"
        return self.call("POST", self.ours, *steps, content=content)

    def state(self, server: Server) -> set[str]:
        """The state events, as a server has them."""
        told = self.call("GET", server, "rooms", self.room_id, "graph")
        return {
            each["event_id"]
            for each in told["events"]
            if each["state_key"] is not None and each["verdict"] != "rejected"
        }


def puts(joining: Joining) -> int:
    """How many signed events have reached the room's server."""
    found = joining.theirs.exchanges(direction="in", kind="request", method="PUT")
    return len(found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [*TEMPLATE_FAULTS, *SEND_JOIN_FAULTS])
def test_no_room_is_wrong(lab: Lab, name: str, version: str) -> None:
    """The join fails and leaves no room, or the room is the other server's."""
    joining = Joining(lab, version)
    value: object = "99" if name == "template.room-version" else True
    put(lab, joining.theirs, {name: value})
    if name in STANDS:
        joining.join(joining.theirs)
        assert joining.state(joining.ours) == joining.state(joining.theirs)
    else:
        with pytest.raises(LabError) as failed:
            joining.join(joining.theirs)
        assert failed.value.status in {403, 502}, failed.value
        with pytest.raises(LabError) as unknown:
            joining.call("GET", joining.ours, "rooms", joining.room_id)
        assert unknown.value.status == 404
    assert puts(joining) == (0 if name in UNSENT else 1)


def test_the_next_server_is_asked(lab: Lab) -> None:
    """One that proposes another event is passed over."""
    joining = Joining(lab, "11")
    second = lab.server()
    joining.call(
        "POST",
        second,
        *("rooms", joining.room_id, "join"),
        content={"via": [joining.theirs.name]},
    )
    put(lab, joining.theirs, {"template.sender": True})
    joined = joining.join(joining.theirs, second)
    assert joined["through"] == second.name
    [failure] = joined["failures"]
    assert failure["server_name"] == joining.theirs.name

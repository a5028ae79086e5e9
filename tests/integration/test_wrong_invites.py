"""Invites that a server of a lab sends, wrong on purpose."""

from typing import Any
from urllib.parse import quote

import pytest

from homeserver.lab.spoil.spoils import SPOILS
from homeserver.testing import Lab, LabError, Server
from homeserver.testing.values import Response
from tests.support.eventually import HANGING_SECONDS

OTHER = "@x:elsewhere.invalid"


class Inviting:
    """A room of one server, and an invite of another server's user that is right."""

    def __init__(self, lab: Lab, version: str, **members: object) -> None:
        self.lab, self.version = lab, version
        self.ours, self.theirs = lab.server(), lab.server()
        new = {"room_version": version, "topic": "T"}
        self.room_id: str = self.call("POST", "rooms", content=new)["room_id"]
        body = {
            "type": "m.room.member",
            "state_key": f"@bob:{self.theirs.name}",
            "content": {"membership": "invite"},
            "destinations": [],
            **members,
        }
        steps = "rooms", self.room_id
        self.forged = self.call("POST", *steps, "forge", content=body)
        self.state = self.call("GET", *steps, "state")["state"]

    def call(self, method: str, *steps: str, content: object = None) -> Any:
        """Ask the control API about the inviting server."""
        return self.of(self.ours, method, *steps, content=content)

    def of(
        self, server: Server, method: str, *steps: str, content: object = None
    ) -> Any:
        """Ask the control API about a server."""
        where = "v1", "servers", server.name, *steps
        return self.lab.link.call(
            method, *where, content=content, seconds=HANGING_SECONDS
        )

    def send(self, *spoil: str) -> Response:
        """Send the invite with mistakes."""
        steps = quote(self.room_id, ""), quote(self.forged["event_id"], "")
        return self.ours.request(
            self.theirs.name,
            "/".join(["/_matrix/federation/v2/invite", *steps]),
            method="PUT",
            content={
                "event": self.forged["event"],
                "room_version": self.version,
                "invite_room_state": self.state,
            },
            spoil=list(spoil),
        )

    def recorded(self) -> list[Any]:
        """The invites that the other server has."""
        found: list[Any] = self.of(self.theirs, "GET", "invites")["invites"]
        return found


MISTAKES = [name for name in SPOILS if name.startswith("invite-")]

ONLY_12 = {"invite-no-create", "invite-other-room"}


@pytest.mark.parametrize("version", ["1", "10", "12"])
@pytest.mark.parametrize("name", MISTAKES)
def test_wrong_invites(lab: Lab, name: str, version: str) -> None:
    """None of them is signed or recorded; the right one is."""
    inviting = Inviting(lab, version)
    if name in ONLY_12 and version != "12":
        with pytest.raises(LabError, match="version 12"):
            inviting.send(name)
    else:
        answer = inviting.send(name)
        assert answer.status == 400, answer
        assert answer.json["as_expected"] is True
    assert inviting.recorded() == []
    assert inviting.send().status == 200
    [invite] = inviting.recorded()
    assert invite["event"]["state_key"] == f"@bob:{inviting.theirs.name}"


@pytest.mark.parametrize("spoil", [("no-signature",), ("other-key",), ("signature",)])
def test_invites_that_are_not_signed(lab: Lab, spoil: tuple[str, ...]) -> None:
    """They are refused, as those by a user of another server are."""
    inviting = Inviting(lab, "10", spoil=spoil)
    assert inviting.send().status in {400, 403}
    assert inviting.recorded() == []


def test_an_invite_by_a_user_of_another_server(lab: Lab) -> None:
    """Only the server of the sender may send it."""
    inviting = Inviting(lab, "10", sender=OTHER)
    assert inviting.send().status in {400, 403}
    assert inviting.recorded() == []


def test_what_is_no_invite(lab: Lab) -> None:
    """The answer says what these mistakes need."""
    inviting = Inviting(lab, "12")
    request = inviting.ours.request
    for path, content, text in [
        ("/_matrix/federation/v2/invite/a/b", {}, "needs an invite"),
        ("/x", {"event": {}, "room_version": "12"}, "needs an invite"),
        (
            "/_matrix/federation/v2/invite/a/b",
            {"event": {}, "room_version": "12"},
            "`event`",
        ),
        (
            "/_matrix/federation/v2/invite/a/b",
            {"event": inviting.forged["event"], "room_version": "99"},
            "room version",
        ),
    ]:
        with pytest.raises(LabError, match=text) as refused:
            request(
                inviting.theirs.name,
                path,
                method="PUT",
                content=content,
                spoil=["invite-event-id"],
            )
        assert refused.value.status == 400

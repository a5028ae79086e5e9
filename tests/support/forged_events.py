"""A room of two servers of a lab, in which one of them forges events."""

from typing import Any

from homeserver.control.client import MAX_WAIT_SECONDS
from homeserver.testing import Lab, LabError, Server
from tests.support.eventually import HANGING_SECONDS, eventually

LEVEL_SPOILS = {
    "raised-levels": "1",
    "demoted-equal": "1",
    "text-levels": "10",
    "creator-levels": "12",
}
"""The mistakes of power levels, and the room version since which each is one."""


class ForgedRoom:
    """A public room whose creator forges, and what the other server makes of it."""

    def __init__(self, lab: Lab, version: str, **new: object) -> None:
        self.lab, self.version = lab, version
        self.ours, self.theirs = lab.server(), lab.server()
        self.alice, self.eve = f"@creator:{self.ours.name}", f"@eve:{self.ours.name}"
        made = self.call(
            "POST",
            self.ours,
            "rooms",
            content={"preset": "public_chat", "room_version": version, **new},
        )
        self.room_id: str = made["room_id"]
        self.call("POST", self.theirs, *self.at("join"), content=self._via())
        self.send("m.room.member", {"membership": "join"}, self.eve, sender=self.eve)

    def _via(self) -> dict[str, object]:
        return {"via": [self.ours.name]}

    def at(self, *steps: str) -> list[str]:
        """The steps of a path below the room."""
        return ["rooms", self.room_id, *steps]

    def call(
        self, method: str, server: Server, *steps: str, content: object = None
    ) -> Any:
        """Ask the control API about a server."""
        where = "v1", "servers", server.name, *steps
        return self.lab.link.call(
            method, *where, content=content, seconds=HANGING_SECONDS
        )

    def send(
        self,
        kind: str = "m.room.message",
        content: object = None,
        state_key: str | None = None,
        **members: object,
    ) -> str:
        """Send a right event, and wait until the other server has it; its ID."""
        body = {"type": kind, "content": content or {}, "state_key": state_key}
        made = self.call("POST", self.ours, *self.at("events"), content=body | members)
        event_id: str = made["event_id"]
        found = eventually(lambda: self.event(event_id))
        assert found["verdict"] == "accepted"
        return event_id

    def forge(self, *spoil: str, kind: str = "m.room.message", **members: Any) -> Any:
        """Send a wrong event, and wait until the other server has answered."""
        body = {"type": kind, "spoil": spoil, **members}
        made = self.call("POST", self.ours, *self.at("forge"), content=body)
        for each in made["sent"]:
            state = self.lab.link.call(
                "GET",
                *("v1", "servers", self.ours.name, "send"),
                *(each["destination"], str(each["id"])),
                query={"wait": MAX_WAIT_SECONDS},
                seconds=HANGING_SECONDS,
            )
            assert state["state"] == "delivered", state
        return made

    def event(self, event_id: str, server: Server | None = None) -> Any:
        """An event as a server has it; None if it does not."""
        try:
            steps = self.at("events", event_id)
            return self.call("GET", server or self.theirs, *steps)
        except LabError as problem:
            assert problem.status == 404, problem
            return None

    def verdict(self, event_id: str) -> str | None:
        """The other server's verdict on an event; None for one that it dropped."""
        found = self.event(event_id)
        return None if found is None else str(found["verdict"])

    def state(self, server: Server) -> dict[tuple[str, str], Any]:
        """The current state, as a server has it."""
        found = self.call("GET", server, *self.at("state"))["state"]
        return {(each["type"], each["state_key"]): each for each in found}

    def ends(self) -> set[str]:
        """What the other server's next event comes after."""
        return set(self.call("GET", self.theirs, *self.at())["extremities"])


def large_room(lab: Lab, version: str) -> ForgedRoom:
    """A room whose state has more events than an event may cite."""
    more = [{"type": "m.room.x", "content": {}, "state_key": str(n)} for n in range(20)]
    return ForgedRoom(lab, version, name="N", initial_state=more)

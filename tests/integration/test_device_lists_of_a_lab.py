"""The devices of a user, as another server of a lab keeps them."""

import time
from collections.abc import Callable
from typing import Any

from homeserver.testing import Lab, Server

LIMIT_SECONDS = 60.0  # for what takes milliseconds; machines are shared


class Told:
    """Two servers of a lab in one room: what one tells, and what the other keeps."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.ours, self.other = lab.server(), lab.server()
        self.user_id = f"@bob:{self.other.name}"
        room = self.call("POST", self.ours, "rooms", content={"preset": "public_chat"})
        self.room_id = room["room_id"]
        join = {"user_id": self.user_id, "via": [self.ours.name]}
        where = "rooms", self.room_id, "join"
        self.call("POST", self.other, *where, content=join)

    def call(self, method: str, server: Server, *steps: str, **more: Any) -> Any:
        """The answer of the control API about a server."""
        every = "v1", "servers", server.name, *steps
        return self.lab.link.call(method, *every, **more)

    def define(self, *devices: str, name: str = "") -> int:
        """Let the user have devices; the stream ID of the list."""
        listed = [{"device_id": each, "display_name": name} for each in devices]
        content = {"user_id": self.user_id, "devices": listed}
        stream_id: int = self.call("POST", self.other, "users", content=content)[
            "stream_id"
        ]
        return stream_id

    def tell(self, stream_id: int, *prev: int) -> None:
        """Send an update of the device A."""
        content = {
            "user_id": self.user_id,
            "device_id": "A",
            "stream_id": stream_id,
            "prev_id": list(prev),
        }
        edu = {"edu_type": "m.device_list_update", "content": content}
        self.other.send(self.ours.name, edus=[edu])

    def kept(self, is_so: Callable[[Any], bool]) -> Any:
        """What is kept of the user, when it is so."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            every = self.call("GET", self.ours, "device_lists")["device_lists"]
            if len(every) == 1 and is_so(every[0]):
                return self.call("GET", self.ours, "device_lists", self.user_id)
            assert time.monotonic() < deadline, every
            time.sleep(0.05)


def test_fetched_and_kept() -> None:
    """An update of which one is missing makes the server ask, and the list is shown."""
    with Lab() as lab:
        told = Told(lab)
        first = told.define("A", "B")
        told.tell(first)
        kept = told.kept(lambda each: each["problem"] is None)
        assert (kept["user_id"], kept["stream_id"]) == (told.user_id, first)
        assert [each["device_id"] for each in kept["devices"]] == ["A", "B"]
        assert kept["devices"][0]["keys"]["device_id"] == "A"
        second = told.define("C")
        told.tell(second, second + 7)
        kept = told.kept(lambda each: each["stream_id"] == second)
        assert [each["device_id"] for each in kept["devices"]] == ["C"]
        route = "/_matrix/federation/v1/user/devices/{userId}"
        assert len(told.other.exchanges(direction="in", route=route)) == 2


def test_an_answer_that_is_too_large() -> None:
    """It is not read to its end; the reason is shown."""
    with Lab() as lab:
        told = Told(lab)
        told.other.rule({"http.body": "x" * 900_000, "vary.escapes": True})
        told.tell(1)
        kept = told.kept(lambda each: "not fetched yet" not in each["problem"])
        assert kept["devices"] == []
        assert "bytes" in kept["problem"]

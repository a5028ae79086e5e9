"""Real endpoints of ours in rooms of each other: joins by ID or alias, and invites.

The rooms are made by the control API, and joined by it at the other endpoint.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.config.reader import load
from homeserver.control.client import ControlClient, ControlError
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from scripts.processes import LOOPBACK, Endpoint, first_line, free_ports, make_endpoint
from tests.support.synapse_servers import eventually

_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8", "::1"]

[sending]
first_retry_seconds = 0.2
max_retry_seconds = 0.5
"""


@dataclass(frozen=True)
class Side:
    """A running endpoint, and what is asked of its control API."""

    endpoint: Endpoint

    @property
    def name(self) -> str:
        """Its server name."""
        return self.endpoint.name

    def user(self, name: str) -> str:
        """A user of it."""
        return f"@{name}:{self.name}"

    def post(self, *steps: str, **body: Any) -> Any:
        """Ask for something in `/v1/rooms`."""
        return self._client().post("v1", "rooms", *steps, content=body)

    def get(self, *steps: str) -> Any:
        """Ask about something in `/v1/rooms`."""
        return self._client().get("v1", "rooms", *steps)

    def state(self, room_id: str) -> list[Json]:
        """The state of a room, event by event."""
        found: list[Json] = self.get(room_id, "state")["state"]
        return found

    def create(self, version: str, **more: Any) -> str:
        """A room, public by default; its ID."""
        room_id: str = self.post(
            room_version=version, **{"preset": "public_chat", **more}
        )["room_id"]
        return room_id

    def say(self, room_id: str, body: str) -> str:
        """Send a message; its event ID."""
        sent = self.post(
            room_id, "events", type="m.room.message", content={"body": body}
        )
        event_id: str = sent["event_id"]
        return event_id

    def has(self, room_id: str, event_id: str) -> bool:
        """Whether an event is accepted in a room here."""
        try:
            verdict = self.get(room_id, "events", event_id)["verdict"]
        except ControlError:
            return False
        return bool(verdict == "accepted")

    def _client(self) -> ControlClient:
        path = self.endpoint.configuration
        return ControlClient.of_config(path, load(path))


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """Two endpoints that run."""
    folder = tmp_path_factory.mktemp("joins")
    ports = free_ports(2)
    alpha, beta = (
        make_endpoint(
            folder / name, f"localhost:{port}", _CONFIGURATION, f"{LOOPBACK}:{port}"
        )
        for name, port in zip(("alpha", "beta"), ports, strict=True)
    )
    with alpha.running() as one, beta.running() as two:
        first_line(one)
        first_line(two)
        yield Side(alpha), Side(beta)


def same(one: Side, two: Side, room_id: str) -> None:
    """Both have the same state, event by event."""
    states = [{str(x): x for x in side.state(room_id)} for side in (one, two)]
    assert states[0] == states[1]


@pytest.mark.parametrize("version", tuple(ROOM_VERSIONS))
def test_joined(sides: tuple[Side, Side], version: str) -> None:
    """Beta joins by ID; the state is alpha's, and messages go both ways."""
    alpha, beta = sides
    room_id = alpha.create(version)
    joined = beta.post(room_id, "join", via=[alpha.name], displayname="Bob")
    assert (joined["room_id"], joined["room_version"]) == (room_id, version)
    assert joined["through"] == alpha.name
    assert joined["servers"] == sorted([alpha.name, beta.name])
    assert joined["failures"] == joined["left_out"] == []
    for one, two in ((alpha, beta), (beta, alpha)):
        event_id = one.say(room_id, "hello")
        eventually(lambda two=two, x=event_id: two.has(room_id, x))  # type: ignore[misc]
    same(alpha, beta, room_id)
    again = beta.post(room_id, "join")
    assert again["through"] is None
    eventually(lambda: alpha.has(room_id, again["event_id"]))

"""A running endpoint of ours, asked by its control API about rooms."""

from dataclasses import dataclass
from typing import Any

from homeserver.config.reader import load
from homeserver.control.client import ControlClient, ControlError
from homeserver.protocol.canonical_json import Json
from scripts.processes import Endpoint


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

    def invites(self) -> list[Any]:
        """The invites of users of this server that wait for an answer."""
        found: Any = self._client().get("v1", "invites")["invites"]
        return list(found)

    def state(self, room_id: str) -> list[Json]:
        """The state of a room, event by event."""
        found: list[Json] = self.get(room_id, "state")["state"]
        return found

    def membership(self, room_id: str, user_id: str) -> str:
        """The membership of a user in a room, as this endpoint has it."""
        members = self.get(room_id, "members")["members"]
        found = {each["user_id"]: each["membership"] for each in members}
        return str(found.get(user_id))

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

    def drop(self, destination: str) -> None:
        """Drop what waits for a server."""
        self._client().delete("v1", "send", destination)

    def _client(self) -> ControlClient:
        path = self.endpoint.configuration
        return ControlClient.of_config(path, load(path))

"""A server with a room of Ann's, and what a client of its control API asks."""

from typing import Any
from urllib.parse import quote

from homeserver.protocol.canonical_json import Json
from tests.support.control_side import Panel
from tests.support.signed_requests import US

ANN, BOB = f"@ann:{US}", f"@bob:{US}"


class Desk:
    """A server with a room of Ann's, and what a client asks."""

    def __init__(self, **more: object) -> None:
        self.panel = Panel()
        new: Json = {"creator": ANN, "preset": "public_chat", **more}
        self.made = self.ask("POST", "", new)
        self.room_id: str = self.made["room_id"]
        self.room = "/" + quote(self.room_id, "")

    def ask(
        self, method: str, path: str, body: Json | None = None, status: int = 200
    ) -> Any:
        """The JSON of an answer below `/v1/rooms`."""
        answer = self.panel.ask(method, f"/v1/rooms{path}", body)
        assert answer.status == status, answer.json
        return answer.json

    def post(self, what: str, status: int = 200, **body: object) -> Any:
        """Ask for a change of the room."""
        return self.ask("POST", f"{self.room}/{what}", body, status)

    def get(self, what: str, status: int = 200) -> Any:
        """Ask about the room."""
        return self.ask("GET", f"{self.room}/{what}", None, status)

    def topic(self, text: str, **more: Any) -> Any:
        """Set the topic."""
        content: Json = {"topic": text}
        return self.post(
            "events", type="m.room.topic", state_key="", content=content, **more
        )

    def topic_at(self, query: str = "") -> list[str]:
        """The topic in a state."""
        state = self.get(f"state{query}")["state"]
        return [x["content"]["topic"] for x in state if x["type"] == "m.room.topic"]

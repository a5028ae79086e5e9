"""Users of Synapse: what they do makes it federate.

Specification: Client-server API.
"""

from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import quote

from scripts.synapse import Synapse

_numbers = count()


@dataclass(frozen=True)
class User:
    """A user with an access token."""

    synapse: Synapse
    user_id: str
    token: str

    @classmethod
    def register(cls, synapse: Synapse, name: str) -> "User":
        """A new user."""
        status, answer = synapse.ask(
            "POST",
            "/_matrix/client/v3/register",
            {
                "username": name,
                "password": "password",
                "auth": {"type": "m.login.dummy"},
            },
        )
        assert status == 200, answer
        return cls(synapse, answer["user_id"], answer["access_token"])

    def ask(
        self, method: str, *steps: str, content: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """One request below `/_matrix/client/v3`: the status, and the JSON."""
        path = "".join(f"/{quote(step, safe='')}" for step in steps)
        target = f"/_matrix/client/v3{path}"
        return self.synapse.ask(method, target, content, self.token)

    def do(
        self, method: str, *steps: str, content: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """As `ask`, where nothing but success will do."""
        status, answer = self.ask(method, *steps, content=content)
        assert status == 200, answer
        return answer

    def create_room(self, room_version: str) -> str:
        """A public room; its ID."""
        content = {"preset": "public_chat", "room_version": room_version}
        room_id: str = self.do("POST", "createRoom", content=content)["room_id"]
        return room_id

    def say(self, room_id: str, body: str) -> str:
        """Send a message; its event ID."""
        steps = "rooms", room_id, "send", "m.room.message", f"t{next(_numbers)}"
        message = {"msgtype": "m.text", "body": body}
        event_id: str = self.do("PUT", *steps, content=message)["event_id"]
        return event_id

    def redact(self, room_id: str, event_id: str) -> str:
        """Take an event back; the event ID of that."""
        steps = "rooms", room_id, "redact", event_id, f"t{next(_numbers)}"
        redaction_id: str = self.do("PUT", *steps, content={})["event_id"]
        return redaction_id

    def find(self, room_id: str, event_id: str) -> dict[str, Any]:
        """An event as the user sees it; `{}` while there is none."""
        status, event = self.ask("GET", "rooms", room_id, "event", event_id)
        return event if status == 200 else {}

    def message_from(self, sender: str) -> dict[str, Any]:
        """The EDU of a message to the devices of the user."""
        content = {
            "sender": sender,
            "type": "m.test",
            "message_id": f"t{next(_numbers)}",
            "messages": {self.user_id: {"*": {"said": "hello"}}},
        }
        return {"edu_type": "m.direct_to_device", "content": content}

    def senders(self) -> set[str]:
        """The senders of messages to the devices of the user."""
        events = self.sync().get("to_device", {}).get("events", [])
        return {each["sender"] for each in events}

    def sync(self) -> dict[str, Any]:
        """All that there is for the user now."""
        return self.do("GET", "sync")

"""Servers in one room, each with two users: of ours, of a lab, or Synapse.

The network between them may part: each can leave the others without an answer.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from homeserver.control.client import ControlClient, ControlError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.testing import LabError, Server
from homeserver.testing.link import Link
from tests.support.synapse_users import User

State = dict[tuple[str, str], str]
"""The IDs of a state's events."""

ERRORS = (ControlError, LabError)
"""What an endpoint of ours refuses raises one of them."""


class Denied(Exception):
    """A server refuses to make an event."""


class Island(Protocol):
    """A server in the room, with two users of its own."""

    name: str
    main: str
    guest: str

    def send(
        self, kind: str, content: Any, key: str | None = None, sender: str = ""
    ) -> str:
        """Make an event of one of its users, by default the main one; its ID.

        Raises `Denied`.
        """
        ...

    def state(self) -> State:
        """The current state."""
        ...

    def content(self, kind: str) -> dict[str, Any]:
        """The content of a state event without a state key."""
        ...

    def knows(self, event_id: str) -> bool:
        """Whether an event has arrived."""
        ...

    def cut_off(self, others: "Sequence[Island]") -> None:
        """Answer nothing that these servers ask, and the others again."""
        ...

    def hurry(self, others: "Sequence[Island]") -> None:
        """Send what waits for these servers now."""
        ...

    def lose(self, other: "Island") -> None:
        """Lose what waits for a server."""
        ...


class OurIsland:
    """One of ours, which can cut off others: one of a lab, or with a lab's rules."""

    def __init__(self, name: str, ask: Callable[..., Any]) -> None:
        """`ask(method, *steps, content, query)` asks about the server."""
        self.name = name
        self.ask = ask
        self.room_id = ""
        self.main, self.guest = f"@creator:{name}", f"@guest:{name}"

    @classmethod
    def of_lab(cls, link: Link, server: Server) -> "OurIsland":
        """A server of a lab."""

        def ask(method: str, *steps: str, **arguments: Any) -> Any:
            return link.call(method, "v1", "servers", server.name, *steps, **arguments)

        return cls(server.name, ask)

    @classmethod
    def of_endpoint(cls, name: str, client: ControlClient) -> "OurIsland":
        """An endpoint that has the rules of a lab."""

        def ask(
            method: str, *steps: str, content: Any = None, query: Any = None
        ) -> Any:
            if method == "GET":
                return client.get("v1", *steps, **(query or {}))
            if method == "DELETE":
                return client.delete("v1", *steps)
            send = client.post if method == "POST" else client.put
            return send("v1", *steps, content=content or {})

        return cls(name, ask)

    def create(self, version: str, levels: Any) -> str:
        """A public room; its ID."""
        new = {
            "room_version": version,
            "preset": "public_chat",
            "power_levels": levels,
        }
        self.room_id = self.ask("POST", "rooms", content=new)["room_id"]
        return self.room_id

    def join(self, room_id: str, through: str) -> None:
        """Let both users join."""
        self.room_id = room_id
        for user in (self.main, self.guest):
            body = {"user_id": user, "via": [through]}
            self.ask("POST", "rooms", room_id, "join", content=body)

    def send(
        self, kind: str, content: Any, key: str | None = None, sender: str = ""
    ) -> str:
        """As `Island`."""
        body = {"type": kind, "content": content, "sender": sender or self.main}
        if key is not None:
            body["state_key"] = key
        try:
            sent = self.ask("POST", "rooms", self.room_id, "events", content=body)
        except ERRORS as problem:
            assert "403" in str(problem) or "rule" in str(problem), problem
            raise Denied from None
        return str(sent["event_id"])

    def state(self) -> State:
        """As `Island`."""
        version = ROOM_VERSIONS[self._get()["room_version"]]
        events = [Event.parse(each, version) for each in self._get("state")["state"]]
        return {(x.type, str(x.state_key)): x.event_id for x in events}

    def content(self, kind: str) -> dict[str, Any]:
        """As `Island`."""
        [found] = [x for x in self._get("state")["state"] if x["type"] == kind]
        return dict(found["content"])

    def ends(self) -> list[str]:
        """The ends of the room."""
        return list(self._get()["extremities"])

    def knows(self, event_id: str) -> bool:
        """As `Island`."""
        try:
            self._get("events", event_id)
        except ERRORS:
            return False
        return True

    def cut_off(self, others: Sequence[Island]) -> None:
        """As `Island`."""
        rules = [
            {
                "do": {"http.status": 503},
                "match": {"peer": each.name, "direction": "in", "kind": "request"},
            }
            for each in others
        ]
        self.ask("PUT", "rules", content={"rules": rules})

    def hurry(self, others: Sequence[Island]) -> None:
        """As `Island`."""
        for each in others:
            try:
                self.ask("POST", "peers", each.name, "retry")
            except ERRORS:
                continue  # nothing was ever sent there

    def lose(self, other: Island) -> None:
        """As `Island`."""
        try:
            self.ask("DELETE", "send", other.name)
        except ERRORS:
            return

    def _get(self, *steps: str) -> Any:
        return self.ask("GET", "rooms", self.room_id, *steps)


class SynapseIsland:
    """Synapse, which loses nothing and cuts off no other server."""

    def __init__(self, name: str, main: User, guest: User) -> None:
        self.name = name
        self.room_id = ""
        self._users = {each.user_id: each for each in (main, guest)}
        self.main, self.guest = self._users

    def join(self, room_id: str, through: str) -> None:
        """Let both users join."""
        self.room_id = room_id
        for each in self._users.values():
            status, answer = each.synapse.ask(
                "POST",
                f"/_matrix/client/v3/join/{room_id}?server_name={through}",
                {},
                each.token,
            )
            assert status == 200, answer

    def send(
        self, kind: str, content: Any, key: str | None = None, sender: str = ""
    ) -> str:
        """As `Island`."""
        user = self._users[sender or self.main]
        if key is None:
            return user.say(self.room_id, str(content["body"]))
        steps = ["rooms", self.room_id, "state", kind]
        status, answer = user.ask("PUT", *steps, key, content=content)
        if status != 200:
            assert status == 403, answer
            raise Denied
        return str(answer["event_id"])

    def state(self) -> State:
        """As `Island`."""
        found: Any = self._main.do("GET", "rooms", self.room_id, "state")
        return {(x["type"], x["state_key"]): x["event_id"] for x in found}

    def content(self, kind: str) -> dict[str, Any]:
        """As `Island`."""
        return self._main.do("GET", "rooms", self.room_id, "state", kind, "")

    def knows(self, event_id: str) -> bool:
        """As `Island`."""
        return bool(self._main.find(self.room_id, event_id))

    def cut_off(self, others: Sequence[Island]) -> None:
        """Nothing: it answers all."""

    def hurry(self, others: Sequence[Island]) -> None:
        """Nothing: it repeats by itself."""

    def lose(self, other: Island) -> None:
        """Nothing."""

    @property
    def _main(self) -> User:
        return self._users[self.main]

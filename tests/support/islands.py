"""Servers in one room, while the network between them parts and meets again.

Each sends events of all kinds meanwhile, which conflict, and some of what waits for a
server is lost, so that gaps have to be filled.
"""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

from homeserver.control.client import ControlClient, ControlError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.testing import LabError, Server
from homeserver.testing.link import Link
from tests.support.synapse_users import User

LIMIT_SECONDS = 120.0  # for what takes some; machines are shared

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


class Sea:
    """The room, and what happens to it."""

    def __init__(self, islands: Sequence[Island], seed: int) -> None:
        """All of `islands` are in the room; the main users have the power."""
        self.random = Random(seed)
        self.islands = islands
        self.sent = self.refused = self.parted = 0

    def step(self) -> None:
        """Let something happen."""
        chance = self.random.random()
        if chance < 0.08:
            self.part()
        elif chance < 0.15:
            self.meet()
        else:
            try:
                self.random.choice(self._kinds)(self)
                self.sent += 1
            except Denied:
                self.refused += 1

    def part(self) -> None:
        """Part the servers into two groups."""
        self.parted += 1
        side = {each.name: self.random.random() < 0.5 for each in self.islands}
        for each in self.islands:
            others = [x for x in self.islands if side[x.name] != side[each.name]]
            each.cut_off(others)

    def meet(self) -> None:
        """Let all reach all again; some of what waited is lost on the way."""
        for each in self.islands:
            for other in self.islands:
                if each is not other and self.random.random() < 0.3:
                    each.lose(other)
        self.heal()

    def heal(self) -> None:
        """Let all reach all again."""
        for each in self.islands:
            each.cut_off([])
        for each in self.islands:
            each.hurry([other for other in self.islands if other is not each])

    def any(self) -> Island:
        """One of the servers."""
        return self.random.choice(self.islands)

    def say(self) -> None:
        """A message."""
        island = self.any()
        island.send("m.room.message", {"body": str(self.random.random())})

    def name(self) -> None:
        """A state event that others set as well."""
        island, kind = self.any(), self.random.choice(["topic", "name"])
        content = {kind: str(self.random.random())}
        sender = self.random.choice([island.main, island.guest])
        island.send(f"m.room.{kind}", content, "", sender)

    def level(self) -> None:
        """Power levels that others change as well."""
        island = self.any()
        content = island.content("m.room.power_levels")
        content["events"] = {"m.room.topic": self.random.choice([0, 50, 100])}
        guest = self.any().guest
        content["users"] = {**content["users"], guest: self.random.choice([0, 50])}
        island.send("m.room.power_levels", content, "")

    def rule(self) -> None:
        """Join rules that others change as well."""
        rule = self.random.choice(["public", "public", "invite"])
        self.any().send("m.room.join_rules", {"join_rule": rule}, "")

    def ban(self) -> None:
        """A guest of some server is banned or kicked, or let in again."""
        what = self.random.choice(["ban", "leave"])
        self.any().send("m.room.member", {"membership": what}, self.any().guest)

    def join(self) -> None:
        """A guest joins, or changes its name."""
        island = self.any()
        content = {"membership": "join", "displayname": str(self.random.random())}
        island.send("m.room.member", content, island.guest, island.guest)

    _kinds: Sequence[Callable[["Sea"], None]] = (
        say,
        say,
        name,
        name,
        level,
        rule,
        ban,
        join,
        join,
    )

    def settle(self) -> None:
        """Let each server speak, until all have the same state after one event."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            self.heal()
            last = ""
            for each in [*self.islands, self.islands[0]]:
                last = each.send("m.room.message", {"body": "the end"})
                self._wait_for(last, deadline)
            ends = [x.ends() for x in self.islands if isinstance(x, OurIsland)]
            if all(each == [last] for each in ends):
                return
            assert time.monotonic() < deadline, ends

    def _wait_for(self, event_id: str, deadline: float) -> None:
        for each in self.islands:
            while not each.knows(event_id):
                assert time.monotonic() < deadline, f"{each.name} has no {event_id}"
                time.sleep(0.05)

    def check(self) -> None:
        """Assert that all have the same state."""
        first, *others = [each.state() for each in self.islands]
        for each, state in zip(self.islands[1:], others, strict=True):
            differing = {
                key: (first.get(key), state.get(key))
                for key in first.keys() | state.keys()
                if first.get(key) != state.get(key)
            }
            assert not differing, (self.islands[0].name, each.name, differing)

    @property
    def told(self) -> str:
        """What happened, as a sentence."""
        return (
            f"{self.sent} sent, {self.refused} refused, parted {self.parted} times, "
            f"{len(self.islands[0].state())} entries of state"
        )


def levels(version: str, first: OurIsland, others: Sequence[Island]) -> Any:
    """Power for the main users; a creator of version 12 has it without."""
    users = {each.main: 100 for each in others}
    if version != "12":
        users[first.main] = 100
    return {"users": users, "state_default": 0}

"""Servers of ours in one room, while the network between them parts and meets again.

Each sends events of all kinds meanwhile, which conflict, and some transactions are
lost, so that gaps have to be filled. In the end all have the same state. A few dozen
events here; by hand, from another seed:

    EVENTS=1000 SEED=7 pytest --log-cli-level=INFO tests/integration/test_partitions.py
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from homeserver.testing import Lab, LabError, Server

EVENTS = int(os.environ.get("EVENTS", "60"))
SEED = int(os.environ.get("SEED", "1"))
LIMIT_SECONDS = 120.0  # for what takes some; machines are shared


class Island:
    """A server of the lab in the room, with two users of its own."""

    def __init__(self, lab: Lab, server: Server) -> None:
        self.link = lab.link
        self.name = server.name
        self.room_id = ""
        self.main, self.guest = f"@creator:{server.name}", f"@guest:{server.name}"

    def ask(self, method: str, *steps: str, **arguments: Any) -> Any:
        """Ask the lab about this server."""
        return self.link.call(method, "v1", "servers", self.name, *steps, **arguments)

    def post(self, *steps: str, **content: Any) -> Any:
        """Ask for something in the room."""
        return self.ask("POST", "rooms", self.room_id, *steps, content=content)

    def get(self, *steps: str, **query: Any) -> Any:
        """Ask about the room."""
        return self.ask("GET", "rooms", self.room_id, *steps, query=query)

    def cut_off(self, others: Sequence["Island"]) -> None:
        """Answer nothing that these servers ask."""
        rules = [
            {
                "do": {"http.status": 503},
                "match": {"peer": each.name, "direction": "in", "kind": "request"},
            }
            for each in others
        ]
        self.ask("PUT", "rules", content={"rules": rules})

    def hurry(self, others: Sequence["Island"]) -> None:
        """Send what waits for these servers now."""
        for each in others:
            try:
                self.ask("POST", "peers", each.name, "retry")
            except LabError:
                continue  # nothing was ever sent there

    def lose(self, other: "Island") -> None:
        """Lose what waits for a server."""
        try:
            self.ask("DELETE", "send", other.name)
        except LabError:
            return

    def state(self) -> dict[tuple[str, str], str]:
        """The current state: {key: what a server says of the event}."""
        state = self.get("state")["state"]
        return {(x["type"], x["state_key"]): _mark(x) for x in state}

    def ends(self) -> list[str]:
        """The ends of the room."""
        return list(self.get()["extremities"])

    def verdict(self, event_id: str) -> str | None:
        """What became of an event; None if it is not known."""
        try:
            return str(self.get("events", event_id)["verdict"])
        except LabError:
            return None


def _mark(event: Any) -> str:
    """What tells an event from others: its hash covers all else."""
    return f"{event['sender']} {event['origin_server_ts']} {event['hashes']}"


class Sea:
    """The room, and what happens to it."""

    def __init__(self, lab: Lab, version: str, seed: int) -> None:
        self.random = Random(seed)
        self.islands = [Island(lab, each) for each in lab.servers(3)]
        first, *others = self.islands
        levels = {"users": {x.main: 100 for x in others}, "state_default": 0}
        if version != "12":
            levels["users"][first.main] = 100  # type: ignore[index] # an object
        made = first.ask(
            "POST",
            "rooms",
            content={
                "room_version": version,
                "preset": "public_chat",
                "power_levels": levels,
            },
        )
        for each in self.islands:
            each.room_id = made["room_id"]
            users = [each.guest] if each is first else [each.main, each.guest]
            for user in users:
                each.post("join", user_id=user, via=[first.name])
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
            except LabError as problem:
                assert "403" in str(problem) or "rule" in str(problem), problem
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
        content = {"body": str(self.random.random())}
        sender = self.random.choice([island.main, island.guest])
        island.post("events", type="m.room.message", content=content, sender=sender)

    def name(self) -> None:
        """A state event that others set as well."""
        island, kind = self.any(), self.random.choice(["topic", "name"])
        content = {kind: str(self.random.random())}
        sender = self.random.choice([island.main, island.guest])
        island.post(
            "events",
            type=f"m.room.{kind}",
            state_key="",
            content=content,
            sender=sender,
        )

    def level(self) -> None:
        """Power levels that others change as well."""
        island = self.any()
        current = island.get("state")["state"]
        [found] = [x for x in current if x["type"] == "m.room.power_levels"]
        content = dict(found["content"])
        content["events"] = {"m.room.topic": self.random.choice([0, 50, 100])}
        guest = self.any().guest
        content["users"] = {**content["users"], guest: self.random.choice([0, 50])}
        island.post(
            "events",
            type="m.room.power_levels",
            state_key="",
            content=content,
            sender=island.main,
        )

    def rule(self) -> None:
        """Join rules that others change as well."""
        island = self.any()
        rule = self.random.choice(["public", "public", "invite"])
        island.post(
            "events",
            type="m.room.join_rules",
            state_key="",
            content={"join_rule": rule},
            sender=island.main,
        )

    def ban(self) -> None:
        """A guest is banned, kicked or let in again."""
        island, other = self.any(), self.any()
        what = self.random.choice(["ban", "leave", "invite"])
        member = {"membership": what}
        island.post(
            "events",
            type="m.room.member",
            state_key=other.guest,
            content=member,
            sender=island.main,
        )

    def join(self) -> None:
        """A guest joins, or changes its name."""
        island = self.any()
        content = {"membership": "join", "displayname": str(self.random.random())}
        island.post(
            "events",
            type="m.room.member",
            state_key=island.guest,
            content=content,
            sender=island.guest,
        )

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
        """Let each server speak, until all have the same end of the room."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            self.heal()
            last = ""
            for each in [*self.islands, self.islands[0]]:
                content = {"body": "the end"}
                sent = each.post("events", type="m.room.message", content=content)
                last = sent["event_id"]
                self._wait_for(last, deadline)
            ends = [each.ends() for each in self.islands]
            if all(each == [last] for each in ends):
                return
            assert time.monotonic() < deadline, ends

    def _wait_for(self, event_id: str, deadline: float) -> None:
        for each in self.islands:
            while each.verdict(event_id) is None:
                assert time.monotonic() < deadline, f"{each.name} has no {event_id}"
                time.sleep(0.05)


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_partitions(version: str) -> None:
    """All states are equal in the end, and so is the state at the last event."""
    with Lab() as lab:
        sea = Sea(lab, version, SEED)
        while sea.sent < EVENTS:
            sea.step()
        sea.settle()
        states = [each.state() for each in sea.islands]
        assert states[1] == states[0]
        assert states[2] == states[0]
        assert sea.parted
        logging.getLogger(__name__).info(
            "%d sent, %d refused, parted %d times, %d entries of state",
            *(sea.sent, sea.refused, sea.parted, len(states[0])),
        )

"""A room whose servers part and meet again, while all of them send events.

The events are of all kinds and conflict, and some of what waits for a server is lost,
so that gaps have to be filled.
"""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.support.eventually import HANGING_SECONDS
from tests.support.islands import Denied, Island, OurIsland


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
        deadline = time.monotonic() + HANGING_SECONDS
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

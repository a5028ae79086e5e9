"""A rule: which exchanges, and what is done to them.

Rules: a rule counts how often it has matched, and acts on those matches that `skip`,
`every`, `times` and `chance` leave to it.
"""

from collections.abc import Collection, Mapping
from random import Random
from typing import Annotated

from msgspec import Meta, Struct

from homeserver.lab.faults.registry import FAULTS
from homeserver.lab.record.entry import Entry
from homeserver.lab.record.match import Match
from homeserver.net.exchange import Kind
from homeserver.protocol.errors import BadJson
from homeserver.protocol.shapes import unknown


class RuleBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule, as it is made."""

    do: Annotated[
        dict[str, object],
        Meta(
            description="What to do, by the names of faults: "
            + "; ".join(f"`{name}`: {fault.summary}" for name, fault in FAULTS.items())
        ),
    ]
    match: Annotated[
        Match,
        Meta(description="Of the exchange; without members, all of the kinds of `do`."),
    ] = Match()
    times: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="How often it acts; by default, always."),
    ] = None
    skip: Annotated[int, Meta(ge=0, description="Matches that it leaves alone.")] = 0
    every: Annotated[
        int, Meta(ge=1, description="It acts on one match of this number.")
    ] = 1
    chance: Annotated[
        float, Meta(ge=0, le=1, description="The probability that it acts.")
    ] = 1.0
    also: Annotated[bool, Meta(description="Whether later rules act as well.")] = False

    def check(self) -> Mapping[str, object]:
        """The faults with their arguments; raises `BadJson`."""
        for name in self.do:
            if name not in FAULTS:
                raise BadJson(f"`do` has no fault {unknown(name, FAULTS)}")
        if not self.do:
            raise BadJson("`do` has no fault in it")
        return {
            name: fault.check(self.do[name])
            for name, fault in FAULTS.items()
            if name in self.do
        }


class Rule:
    """A rule that is in force."""

    def __init__(self, rule_id: int, body: RuleBody, random: Random) -> None:
        """Raises `BadJson`."""
        self.id = rule_id
        self.body = body
        self.faults = body.check()
        self.kinds: Collection[Kind] = {FAULTS[name].kind for name in self.faults}
        self.matched = 0
        self.acted = 0
        self._random = random

    def takes(self, entry: Entry) -> bool:
        """Whether it acts on an exchange; counts it if it matches."""
        body = self.body
        applies = any(FAULTS[name].applies(entry.exchange) for name in self.faults)
        if not applies or not body.match.matches(entry):
            return False
        self.matched += 1
        if body.times is not None and self.acted >= body.times:
            return False
        number = self.matched - body.skip
        if number < 1 or (number - 1) % body.every:
            return False
        if body.chance < 1 and self._random.random() >= body.chance:
            return False
        self.acted += 1
        return True

"""Authorization rules as lists of functions, and how a list decides.

Rules: a rule is a function of a `Case`. It allows, refuses, or returns None, and then
the next rule is applied, as in the text. The first answer decides. The number of a rule
is its position in the list of its room version, which is the text's own number.

Specification: Room Versions, "Authorisation rules".
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId, UserId
from homeserver.protocol.rooms.power_levels import PowerLevels, UnreadableLevel
from homeserver.protocol.rooms.state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    StateMap,
    membership,
)
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from homeserver.protocol.rooms.versions import rules_of


@dataclass(frozen=True, slots=True)
class CitedEvents:
    """The auth events of an event, and which of them were rejected."""

    events: Sequence[Event]
    """One for each entry of `auth_events`."""

    create: Event | None
    """In version 12 the accepted create event that the room ID names, if known."""

    rejected: Collection[EventId] = ()
    """Those that were rejected when they were received."""


_NOTHING_CITED = CitedEvents((), None)


class Case:
    """An event before the rules, and the state by which they judge it."""

    def __init__(
        self,
        event: Event,
        state: StateMap,
        switches: Switches = SWITCHES,
        cited: CitedEvents = _NOTHING_CITED,
    ) -> None:
        """`cited` is for the rules on auth events alone, `state` for all others."""
        self.event = event
        self.state = state
        self.switches = switches
        self.cited = cited
        self.rules = rules_of(event.room_version)
        self.create = state.get(CREATE)
        self.levels = PowerLevels(state.get(POWER_LEVELS), self.create, self.rules)

    @property
    def content(self) -> Json:
        """The event's content."""
        return self.event.content

    @property
    def sender(self) -> str:
        """The sender's user ID."""
        return self.event.sender.user_id

    @property
    def target(self) -> str:
        """The user in the state key of a member event."""
        return self.event.state_key or ""

    def membership(self, user_id: str) -> str:
        """A user's membership in the state."""
        return membership(self.state, user_id)

    @property
    def join_rule(self) -> str | None:
        """The join rule of the state; None where it has none, empty where no string."""
        event = self.state.get(JOIN_RULES)
        if event is None or "join_rule" not in event.content:
            return None
        rule = event.content["join_rule"]
        return rule if isinstance(rule, str) else ""


@dataclass(frozen=True, slots=True)
class Allow:
    """The event is allowed."""

    why: str
    switch: str = ""
    """The field of `Switches` that this rests on; empty if on none."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The event is refused."""

    why: str
    switch: str = ""
    """The field of `Switches` that this rests on; empty if on none."""


Answer = Allow | Refuse | None
"""The answer of a rule; None if the rule does not decide."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that apply to some cases only: "If type is ...:" and its points."""

    applies: Callable[[Case], bool]
    rules: "tuple[Rule, ...]"


Rule = Callable[[Case], Answer] | Group | Allow | Refuse
"""An answer alone is a rule too: "Otherwise, allow"."""

Decision = tuple[tuple[int, ...], Allow | Refuse]
"""The number of the deciding rule, part by part, and its answer."""


def decide(rules: Sequence[Rule], case: Case, first: int = 1) -> Decision | None:
    """The first answer of rules that are numbered from `first` on.

    None if none of them has anything to say.
    """
    for number, rule in enumerate(rules, first):
        if isinstance(rule, Group):
            found = decide(rule.rules, case) if rule.applies(case) else None
            if found is not None:
                return (number, *found[0]), found[1]
        elif isinstance(rule, (Allow, Refuse)):
            return (number,), rule
        elif (answer := _ask(rule, case)) is not None:
            return (number,), answer
    return None


def _ask(rule: Callable[[Case], Answer], case: Case) -> Answer:
    try:
        return rule(case)
    except UnreadableLevel as problem:
        return Refuse(str(problem))


OTHERWISE_ALLOW = Allow("no rule refuses it")


def is_type(kind: str) -> Callable[[Case], bool]:
    """Whether a case is about an event of a type."""
    return lambda case: case.event.type == kind


def named(peers_id: str) -> str:
    """An ID that a peer made up, safe to show in a sentence."""
    return quote(peers_id)[1:-1]


def is_user_id(text: str) -> bool:
    """Whether a text passes the check that a sender has to pass."""
    try:
        UserId.parse(text)
    except InvalidParam:
        return False
    return True

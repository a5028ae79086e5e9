"""The checks on receipt of an event, the fourth to the sixth, and their outcome.

Rules: the event has passed the first three checks. The verdict is final if the auth
events and the states are complete. This module alone says what an outcome means:

| outcome | stored | cited by us, shown | its state |
|---|---|---|---|
| accepted | yes | yes | holds after it |
| soft-failed | yes | no | holds after it, for events that cite it |
| rejected | yes | no | the one before it holds |
| outlier | yes | no | not known; it may authorise others |

Events that cite a rejected or soft-failed event in `prev_events` are judged on their
own; those that cite a rejected one in `auth_events` are rejected (rule 2.3, in version
12 rule 3.3).

Specification: Server-server API, "Checks performed on receipt of a PDU", "Rejection",
"Soft failure".
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.authorization import (
    Allowed,
    NotAllowed,
    check_by_auth_events,
    check_state_dependent,
)
from homeserver.protocol.rooms.rules import CitedEvents, named
from homeserver.protocol.rooms.state import CREATE, StateKey, StateMap, key_of
from homeserver.protocol.rooms.switches import SWITCHES, Switches


class Outcome(Enum):
    """The outcome of the checks."""

    ACCEPTED = "accepted"
    SOFT_FAILED = "soft-failed"
    REJECTED = "rejected"
    OUTLIER = "outlier"

    @property
    def may_be_cited(self) -> bool:
        """Whether our own events may name it in `prev_events`."""
        return self is Outcome.ACCEPTED

    @property
    def is_shown(self) -> bool:
        """Whether clients see it."""
        return self is Outcome.ACCEPTED

    @property
    def sets_state(self) -> bool:
        """Whether a state event changes the state that holds after it."""
        return self in {Outcome.ACCEPTED, Outcome.SOFT_FAILED}


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome, and the check that decided it."""

    outcome: Outcome
    check: int
    """The number of the check that decided, 4 to 7; for an accepted event, 6."""

    verdict: Allowed | NotAllowed
    """The verdict of that check."""


@dataclass(frozen=True, slots=True)
class States:
    """The states by which an event is judged."""

    before: StateMap | None
    """The resolved state after its `prev_events`; None where it is not known."""

    current: StateMap
    """The resolved state after the forward extremities of the room."""


def judge(
    event: Event, cited: CitedEvents, states: States, switches: Switches = SWITCHES
) -> Receipt:
    """Apply checks 4, 5 and 6: by auth events, by the state before, by the current one.

    If the state before is not known, an event that passes check 4 is an outlier. If
    that state is incomplete, the caller judges the event again when it is complete.

    The text allows a second create event, which cites nothing, by the room's first
    server. A room begins once: it is rejected.
    """
    create = states.current.get(CREATE, event)
    if key_of(event) == CREATE and create.event_id != event.event_id:
        why = f"the room has begun with {named(create.event_id)}"
        return Receipt(Outcome.REJECTED, 4, NotAllowed("1", why))
    try:
        allowed = check_by_auth_events(event, cited, switches)
    except NotAllowed as refused:
        return Receipt(Outcome.REJECTED, 4, refused)
    if states.before is None:
        return Receipt(Outcome.OUTLIER, 4, allowed)
    try:
        allowed = check_state_dependent(event, states.before, switches)
    except NotAllowed as refused:
        return Receipt(Outcome.REJECTED, 5, refused)
    try:
        if states.current is not states.before:
            allowed = check_state_dependent(event, states.current, switches)
    except NotAllowed as refused:
        return Receipt(Outcome.SOFT_FAILED, 6, refused)
    return Receipt(Outcome.ACCEPTED, 6, allowed)


def state_after(event: Event, outcome: Outcome, before: StateMap) -> StateMap:
    """The state that holds after an event."""
    key: StateKey | None = key_of(event)
    if key is None or not outcome.sets_state:
        return before
    return {**before, key: event}


def extremities_after(
    event: Event,
    outcome: Outcome,
    extremities: Collection[EventId],
    passed_over: Mapping[EventId, Collection[EventId]],
    *,
    is_continued: bool = False,
) -> frozenset[EventId]:
    """The forward extremities of a room after an event was judged.

    `passed_over` has the `prev_events` of each rejected or soft-failed event: an
    accepted event also replaces the extremities that it reaches through those.
    `is_continued` says that an accepted event cites this one already, as it does when
    this one arrives late, by backfill.
    """
    if not outcome.may_be_cited:
        return frozenset(extremities)
    continued: set[EventId] = set()
    to_visit = list(event.prev_event_ids)
    while to_visit:
        each = to_visit.pop()
        if each not in continued:
            continued.add(each)
            to_visit += passed_over.get(each, ())
    new = frozenset() if is_continued else frozenset([event.event_id])
    return (frozenset(extremities) - continued) | new

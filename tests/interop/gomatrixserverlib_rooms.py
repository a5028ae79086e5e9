"""What gomatrixserverlib is asked of a random room, and what it says otherwise.

It is asked for the ID of each event; for a verdict by the event's auth events, by the
state before it, and by each state that our state resolution judges it by; and for the
result of each state resolution. Its `Allowed` has no rules on the auth events that an
event names: those are not asked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.authorization import NotAllowed, check_state_dependent
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.rooms.switches import Switches
from tests.protocol.rooms.random_rooms import RandomRoom
from tests.support.resolution_traces import Trace, traced

# Where gomatrixserverlib reads the text otherwise than we do, we read as it does here.
SWITCHES = Switches(
    absent_levels_have_defaults=True,
    member_keys_are_user_ids=False,
    create_has_any_state_key=False,
    other_power_levels_are_free=False,
    states_are_in_their_chains=False,
    rejected_are_candidates=True,
    creates_are_power_events=False,
)


@dataclass(frozen=True)
class Judgement:
    """An event, the state that it is judged by, and what two implementations say."""

    event: Event
    state: StateMap
    ours: str
    """Why it is not allowed; empty if it is."""

    theirs: str
    """The same."""

    @property
    def differs(self) -> bool:
        """Whether one of them allows the event and the other does not."""
        return bool(self.ours) != bool(self.theirs)


def judge(event: Event, state: StateMap, switches: Switches, theirs: str) -> Judgement:
    """What we say of an event, beside a verdict of theirs."""
    try:
        check_state_dependent(event, state, switches)
    except NotAllowed as problem:
        return Judgement(event, state, str(problem), theirs)
    return Judgement(event, state, "", theirs)


@dataclass
class Questions:
    """All that is asked of one room."""

    room: RandomRoom
    checks: list[tuple[Event, StateMap]] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)

    def __post_init__(self) -> None:
        graph = self.room.graph
        for event_id, event in self.room.events.items():
            self.checks.append((event, graph.auth_state(event)))
            self.checks.append((event, self.room.before[event_id]))
        for merge in self.room.merges:
            trace = traced(graph, merge.states)
            self.traces.append(trace)
            self.checks += [(each.event, each.state) for each in trace.judged]
        self._numbers = {each: number for number, each in enumerate(self.room.events)}

    def numbers_of(self, state: StateMap) -> list[int]:
        """The sorted numbers of the events of a state."""
        return sorted(self._numbers[each.event_id] for each in state.values())

    def asked(self) -> Json:
        """The question, as `rooms.go` has it."""
        states: dict[tuple[int, ...], int] = {}

        def number_of(state: StateMap) -> int:
            return states.setdefault(tuple(self.numbers_of(state)), len(states))

        checks = [
            [self._numbers[event.event_id], number_of(state)]
            for event, state in self.checks
        ]
        merges = [[number_of(each) for each in trace.states] for trace in self.traces]
        return {
            "do": "room",
            "room_version": self.room.version.version,
            "ids": list(self.room.events),
            "pdus": [event.pdu for event in self.room.events.values()],
            "rejected": [self._numbers[each] for each in self.room.rejected],
            "checks": checks,
            "merges": merges,
            "states": list(states),
        }

    def judgements(self, verdicts: Iterable[str]) -> list[Judgement]:
        """Each check with both verdicts."""
        switches = self.room.graph.switches
        return [
            judge(event, state, switches, theirs)
            for (event, state), theirs in zip(self.checks, verdicts, strict=True)
        ]

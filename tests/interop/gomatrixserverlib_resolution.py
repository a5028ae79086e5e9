"""Where gomatrixserverlib is known to resolve states otherwise than the text.

Rules: a row explains a resolution where its reading would make another order of the
events, or another verdict on one of them. Where no row does, and the rules judge each
event alike, both come to the same state.

Sections are those of Room Versions, version 2, unless another is named.
"""

from collections import Counter
from collections.abc import Sequence
from math import inf

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_events import invite_token
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.authorization import NotAllowed, check_state_dependent
from homeserver.protocol.rooms.orderings import sender_power
from homeserver.protocol.rooms.state import JOIN_RULES, POWER_LEVELS, StateMap, key_of
from homeserver.protocol.rooms.versions import StateResolution, rules_of
from homeserver.protocol.slices import run
from tests.interop.gomatrixserverlib_differences import Known
from tests.interop.gomatrixserverlib_signs import has_unread_levels
from tests.support.resolution_traces import Judged, Trace, agreed


def _is_by(trace: Trace, algorithm: StateResolution) -> bool:
    return rules_of(trace.graph.room_version).state_resolution is algorithm


def _has_other_join_rules(trace: Trace) -> bool:
    """Join rules are in conflict that have another state key than the empty one."""
    found = {
        (key, event.event_id)
        for state in trace.states
        for key, event in state.items()
        if key[0] == JOIN_RULES[0] and key != JOIN_RULES
    }
    is_in_conflict = len(found) > len({key for key, _ in found})
    return _is_by(trace, StateResolution.V1) and is_in_conflict


def _has_restricted_joins(trace: Trace) -> bool:
    """A join by a restricted rule is judged before another join."""
    joins = [
        each.state.get(JOIN_RULES)
        for each in trace.judged
        if each.event.type == "m.room.member"
        and each.event.content.get("membership") == "join"
    ]
    restricted = ("restricted", "knock_restricted")
    return _is_by(trace, StateResolution.V2) and any(
        rules is not None and rules.content.get("join_rule") in restricted
        for rules in joins[:-1]
    )


def _has_empty_tokens(trace: Trace) -> bool:
    return _is_by(trace, StateResolution.V2) and any(
        invite_token(each.event.content) == "" for each in trace.judged
    )


def _stands_in_for_itself(trace: Trace) -> bool:
    return _is_by(trace, StateResolution.V2) and any(
        _is_judged_otherwise(trace.graph, each) for each in trace.judged
    )


def _is_judged_otherwise(graph: AuthGraph, each: Judged) -> bool:
    key = key_of(each.event)
    if not each.supplied or key is None:
        return False
    state = {k: e for k, e in each.state.items() if k not in each.supplied}
    state[key] = each.event
    return _is_allowed(graph, each.event, state) != _is_allowed(
        graph, each.event, each.state
    )


def _is_allowed(graph: AuthGraph, event: Event, state: StateMap) -> bool:
    try:
        check_state_dependent(event, state, graph.switches)
    except NotAllowed:
        return False
    return True


def _leaves_out_agreed(trace: Trace) -> bool:
    if not _is_by(trace, StateResolution.V2):
        return False
    return _power_events_of(trace) != _power_events(trace).keys()


def _is_power_ordered_otherwise(trace: Trace) -> bool:
    if not _is_by(trace, StateResolution.V2):
        return False
    return _power_by_the_text(trace) != _order_by_power(trace)


def _power_by_the_text(trace: Trace) -> list[Event]:
    """The reverse topological power ordering, as plainly as the text has it."""
    graph = trace.graph
    left = {event_id: graph.event(event_id) for event_id in _power_events_of(trace)}
    ordered = []
    while left:
        ready = [
            event for event in left.values() if left.keys().isdisjoint(_cites(event))
        ]
        ordered.append(min(ready, key=lambda event: _rank(graph, event)))
        del left[ordered[-1].event_id]
    return ordered


def _power_events_of(trace: Trace) -> set[EventId]:
    """The power events of the full conflicted set, and what authorises them there."""
    conflicted, difference = _conflicts(trace)
    candidates = conflicted | difference
    events = map(trace.graph.event, candidates)
    chosen: set[EventId] = set()
    waiting = {event.event_id for event in events if _is_power_event(event)}
    while waiting:
        chosen |= waiting
        cited = {each for one in waiting for each in _cites(trace.graph.event(one))}
        waiting = (cited & candidates) - chosen
    return chosen


def _cites(event: Event) -> Sequence[EventId]:
    return event.auth_event_ids


def _rank(graph: AuthGraph, event: Event) -> tuple[float, int, str]:
    return -sender_power(graph, event), event.origin_server_ts, event.event_id


def _conflicts(trace: Trace) -> tuple[set[EventId], set[EventId]]:
    """The events in conflict, and those of the auth difference."""
    events = {each.event_id for state in trace.states for each in state.values()}
    return events - _common(trace), run(trace.graph.auth_difference(trace.states))


def _common(trace: Trace) -> set[EventId]:
    return {event.event_id for event in agreed(trace.states).values()}


def _order_by_power(trace: Trace) -> list[Event]:
    """Kahn's algorithm from the last event on, with events that count several times."""
    graph = trace.graph
    counts = _power_events(trace)
    waits_for: Counter[EventId] = Counter()
    for event_id, count in counts.items():
        for cited in graph.event(event_id).auth_event_ids:
            waits_for[cited] += count

    def rank(event_id: EventId) -> tuple[float, int, str]:
        event = graph.event(event_id)
        power, time, _ = _rank(graph, event)
        levels = graph.power_levels_of(event)
        is_read = levels is not None and not has_unread_levels(levels)
        return (power if is_read else 0), time, event_id

    ready = [each for each in counts if waits_for[each] == 0]
    ordered: list[EventId] = []
    while ready:
        ready.sort(key=rank)
        event_id = ready.pop()
        ordered.insert(0, event_id)
        for cited in graph.event(event_id).auth_event_ids:
            waits_for[cited] -= 1
            if waits_for[cited] == 0 and cited in counts:
                ready.append(cited)
    left = sorted(set(counts) - set(ordered), key=rank)
    return [graph.event(each) for each in left + ordered]


def _power_events(trace: Trace) -> Counter[EventId]:
    """How often each power event, and each that authorises one, is listed.

    Once for being in conflict, once for being in the auth difference, once for being
    cited by another one. Only events in conflict are reached by citations.
    """
    graph = trace.graph
    conflicted, difference = _conflicts(trace)
    counts: Counter[EventId] = Counter()
    for group in (conflicted, difference - _common(trace)):
        counts.update(each for each in group if _is_power_event(graph.event(each)))
    waiting = list(counts)
    pulled: set[EventId] = set()
    while waiting:
        cited = conflicted.intersection(graph.event(waiting.pop()).auth_event_ids)
        waiting += cited - pulled
        pulled |= cited
    counts.update(pulled)
    return counts


def _is_power_event(event: Event) -> bool:
    if key_of(event) in {POWER_LEVELS, JOIN_RULES}:
        return True
    return (
        event.type == "m.room.member"
        and event.content.get("membership") in ("leave", "ban")
        and event.state_key not in {"", event.sender.user_id}
    )


def _is_mainline_otherwise(trace: Trace) -> bool:
    if not _is_by(trace, StateResolution.V2):
        return False
    places = {event.event_id: _place(trace, event) for event in trace.by_mainline}

    def by_the_text(event: Event) -> tuple[float, int, str]:
        position, _ = places[event.event_id]
        return position, event.origin_server_ts, event.event_id

    def by_steps(event: Event) -> tuple[float, int, int, str]:
        """An event without a position has that of the oldest; the steps decide."""
        position, steps = places[event.event_id]
        return max(position, 0), steps, event.origin_server_ts, event.event_id

    ordered = sorted(trace.by_mainline, key=by_the_text)
    return ordered != sorted(trace.by_mainline, key=by_steps)


def _place(trace: Trace, event: Event) -> tuple[float, int]:
    """The position, counted from the oldest power levels on, and the steps to it."""
    mainline: list[Event] = []
    levels = trace.power_levels
    while levels is not None and levels not in mainline:
        mainline.insert(0, levels)
        levels = trace.graph.power_levels_of(levels)
    steps = 0
    levels = trace.graph.power_levels_of(event)
    while levels is not None and levels not in mainline:
        steps += 1
        levels = trace.graph.power_levels_of(levels)
    return (-inf if levels is None else mainline.index(levels)), steps


RESOLUTIONS: Sequence[Known[Trace]] = (
    Known(
        "join rules of other state keys are ordinary",
        'Version 1, "State resolution": conflicts of `m.room.join_rules` events are '
        "resolved second; it resolves those with another state key than the empty one "
        "last",
        _has_other_join_rules,
    ),
    Known(
        "v2.1 has no create event",
        'version 12, "Algorithm": the resolution begins with an empty state, and the '
        "room ID names the create event; it begins without one and finds none",
        lambda trace: _is_by(trace, StateResolution.V2_1),
    ),
    Known(
        "an event stands in for its auth events",
        '"Iterative auth checks": what the state lacks is taken from the auth events; '
        "it takes the event itself in their place",
        _stands_in_for_itself,
    ),
    Known(
        "events that all states have are not in conflict",
        '"Definitions": the auth difference belongs to the full conflicted set; it '
        "leaves out what all states have, and what authorises that alone",
        _leaves_out_agreed,
    ),
    Known(
        "power events are ordered from the last one on",
        '"Reverse topological power ordering": of the events that wait for none, '
        "the smallest goes first; it takes the greatest for the last one, counts "
        "events several times, and gives power 0 without power levels that it can read",
        _is_power_ordered_otherwise,
    ),
    Known(
        "steps to the mainline count",
        '"Mainline ordering": position, then time, then ID; it has the number of steps '
        "before the time, and an event without a position in the oldest one",
        _is_mainline_otherwise,
    ),
    Known(
        "a restricted join changes the join rule for the next one",
        '"Authorisation rules", 5.3.5: the state has the join rule of a join; '
        "having judged a restricted one, it judges the next joins as if the rule were "
        "`public` or `invite`",
        _has_restricted_joins,
    ),
    Known(
        "an empty token selects no auth events",
        '"Iterative auth checks", by "Auth events selection" of the Server-server API: '
        "a token is a string; where it is empty, it judges the invite by the "
        "part of the state that it had selected until then",
        _has_empty_tokens,
    ),
)

"""Faults of the reply to a join, by a server that others join a room through.

Rules: those of `fault`. The work is done: the room of the server that answers has the
join, where it took it. A forged event of the state is one of the room's creator; where
that is a user of another server, the answer stays as it is.

Specification: Server-server API, "Joining Rooms".
"""

from collections.abc import Callable, Mapping

from homeserver.lab.faults.fault import Act, Case, Fault, flag
from homeserver.lab.faults.forger import (
    OTHER_SERVER,
    Forger,
    changed_events,
    events_in,
    flipped,
)
from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.events.event import Event
from homeserver.protocol.federation_paths import V1, V2
from homeserver.protocol.identifiers import UserId
from homeserver.protocol.rooms.building import NewEvent

_SEND = (f"{V1}/send_join/", f"{V2}/send_join/")

_FAILS = "The join fails: it has no room with this state."
_PART = "It leaves the event out, or the join fails."

_Change = Callable[[Json, object, Case], Json]


def _all(answer: Json) -> list[Json]:
    return events_in(answer, "state", "auth_chain")


def _without(wrong: Callable[[Json], bool]) -> _Change:
    """Neither the state nor the auth chain has some events."""

    def change(answer: Json, _: object, __: Case) -> Json:
        kept = {
            name: [each for each in events_in(answer, name) if not wrong(each)]
            for name in ("state", "auth_chain")
        }
        return {**answer, **kept}

    return change


def _create(change: Callable[[Json], Json]) -> _Change:
    """A create event with other content."""

    def act(answer: Json, _: object, case: Case) -> Json:
        forger = Forger(case, _all(answer))

        def other(pdu: Json) -> Json:
            if pdu.get("type") != "m.room.create":
                return pdu
            content = as_object(pdu["content"], "`content`")
            return forger.signed({**pdu, "content": change(content)})

        lists = {
            name: [other(each) for each in events_in(answer, name)]
            for name in ("state", "auth_chain")
        }
        return {**answer, **lists}

    return act


def _other_version(content: Json) -> Json:
    other = "6" if content.get("room_version") != "6" else "9"
    return {**content, "room_version": other}


def _bad_signature(answer: Json, _: object, __: Case) -> Json:
    lists = {
        name: [
            flipped(each) if each.get("type") == "m.room.join_rules" else each
            for each in events_in(answer, name)
        ]
        for name in ("state", "auth_chain")
    }
    return {**answer, **lists}


def _add(make: Callable[[Forger, list[Json]], list[Json]]) -> _Change:
    """More events in the state."""

    def change(answer: Json, _: object, case: Case) -> Json:
        state = events_in(answer, "state")
        forger = Forger(case, _all(answer))
        return {**answer, "state": [*state, *make(forger, state)]}

    return change


def _foreign_topic(forger: Forger, state: list[Json]) -> list[Json]:
    """A topic of a user of another server, which only we have signed."""
    user = UserId.parse(f"@spoiled:{OTHER_SERVER}")
    new = NewEvent("m.room.topic", user, {"topic": "spoiled"}, "spoiled")
    return [forger.event(new, forger.state(state))]


def _of_other_room(forger: Forger) -> Json:
    user = UserId.parse(f"@spoiled:{forger.server}")
    new = NewEvent("m.room.topic", user, {"topic": "spoiled"}, "spoiled")
    pdu = forger.event(new, {})
    return forger.signed({**pdu, "room_id": f"!spoiled:{OTHER_SERVER}"})


def _replaced(kind: str, content: Json) -> _Change:
    """An event of the creator in place of one of the state.

    The state key of a member is the joining user.
    """

    def change(answer: Json, _: object, case: Case) -> Json:
        forger = Forger(case, _all(answer))
        pdus = events_in(answer, "state")
        # The state counts where the auth chain has an earlier event of its key.
        state = forger.state([*events_in(answer, "auth_chain"), *pdus])
        creator = forger.creator(state)
        if creator is None:
            return answer
        key = _joiner(answer, case) if kind == "m.room.member" else ""
        before: list[Event] = [*state.values()][-1:]
        forged = forger.event(NewEvent(kind, creator, content, key), state, before)
        kept = [
            each
            for each in pdus
            if (each.get("type"), each.get("state_key")) != (kind, key)
        ]
        return {**answer, "state": [*kept, forged]}

    return change


def _joiner(answer: Json, case: Case) -> str:
    """The user that joins, who may be told in the reply alone."""
    event = answer.get("event")
    if isinstance(event, dict):
        return str(event.get("state_key", ""))
    return f"@spoiled:{case.request.exchange.peer}"


def _no_event(answer: Json, _: object, __: Case) -> Json:
    return {k: v for k, v in answer.items() if k != "event"}


def _other_event(answer: Json, _: object, __: Case) -> Json:
    event = as_object(answer.get("event", {}), "`event`")
    content = as_object(event.get("content", {}), "`content`")
    return {**answer, "event": {**event, "content": {**content, "spoiled": True}}}


def _omitted(answer: Json, _: object, case: Case) -> Json:
    joiner = _joiner(answer, case)
    state = [
        each
        for each in events_in(answer, "state")
        if each.get("type") != "m.room.member" or each.get("state_key") == joiner
    ]
    return {**answer, "state": state, "members_omitted": True}


def _no_servers(answer: Json, value: object, case: Case) -> Json:
    return {**_omitted(answer, value, case), "servers_in_room": []}


SEND_JOIN_FAULTS: Mapping[str, Fault[Act]] = {
    f"send-join.{name}": Fault(
        summary, right, flag(f"send-join.{name}"), changed_events(act), "true", _SEND
    )
    for name, (summary, act, right) in {
        "no-create": (
            "Neither state nor auth chain has the create event.",
            _without(lambda pdu: pdu.get("type") == "m.room.create"),
            _FAILS,
        ),
        "other-version": (
            "The create event is of another room version than the template.",
            _create(_other_version),
            _FAILS,
        ),
        "other-create": (
            "The create event is another one; in version 12, it is of another room.",
            _create(lambda content: {**content, "spoiled": True}),
            _FAILS,
        ),
        "bad-signature": (
            "The join rules have wrong signatures.",
            _bad_signature,
            _PART,
        ),
        "unsigned": (
            "The state has an event of a server that did not sign it.",
            _add(_foreign_topic),
            _PART,
        ),
        "other-room": (
            "The state has an event of another room.",
            _add(lambda forger, _: [_of_other_room(forger)]),
            _PART,
        ),
        "missing-auth": (
            "Neither state nor auth chain has the power levels, which others cite.",
            _without(lambda pdu: pdu.get("type") == "m.room.power_levels"),
            "It fetches what is missing, or the join fails.",
        ),
        "banned": (
            "The state has a ban of the joining user, by a creator of ours.",
            _replaced("m.room.member", {"membership": "ban"}),
            _FAILS,
        ),
        "invite-only": (
            "The state has join rules that let nobody in, by a creator of ours.",
            _replaced("m.room.join_rules", {"join_rule": "invite"}),
            _FAILS,
        ),
        "other-event": (
            "`event` is not the join that was sent.",
            _other_event,
            "It keeps the join that it sent, or the join fails.",
        ),
        "no-event": (
            "There is no `event`.",
            _no_event,
            "The join fails if another server had to authorise it, and only then.",
        ),
        "members-omitted": (
            "Members are left out, whether or not that was asked for.",
            _omitted,
            "The join fails, unless it has asked for that.",
        ),
        "no-servers": (
            "Members are left out, and `servers_in_room` is empty.",
            _no_servers,
            _FAILS,
        ),
    }.items()
}
"""In the order in which they act."""

"""What a verdict says, and which part of the rules it is of."""

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.authorization import (
    Allowed,
    NotAllowed,
    check_state_dependent,
    check_state_independent,
)
from tests.protocol.rooms.judged_events import Make, create, join, levels, member, topic
from tests.protocol.rooms.room import ALICE, BART, BOB, CAROL, DAN, INA, OLIVE, Room

SENTENCES: list[tuple[str, Make, str]] = [
    (
        "12",
        topic(DAN),
        "rule 8: the sender's power 0 is less than the 50 that m.room.topic needs",
    ),
    (
        "12",
        member(BOB, CAROL, "ban"),
        "rule 5.6.3: the sender's power 50 is not more than the 50 of @carol:c.example",
    ),
    (
        "12",
        member(DAN, OLIVE, "ban"),
        (
            "rule 5.6.3: the power 0 of @dan:d.example is less than the 50 that it "
            "takes to ban"
        ),
    ),
    (
        "12",
        member(ALICE, ALICE, "ban"),
        (
            "rule 5.6.3: the sender's power infinite is not more than the infinite of "
            "@alice:a.example"
        ),
    ),
    ("12", member(DAN, DAN, "ghost"), "rule 5.8: unknown membership 'ghost'"),
    (
        "11",
        member(DAN, INA, "leave"),
        (
            "rule 4.5.5: the power 0 of @dan:d.example is less than the 50 that it "
            "takes to kick"
        ),
    ),
    (
        "6",
        join(OLIVE, "invite"),
        (
            "rule 4.2.6: the join rule 'invite' does not admit @olive:o.example, whose "
            "membership is leave"
        ),
    ),
    (
        "6",
        lambda r: r.without("m.room.join_rules").membership(OLIVE, OLIVE, "join"),
        "rule 4.2.6: no join rule admits @olive:o.example, whose membership is leave",
    ),
    (
        "1",
        topic(BART),
        "rule 6: the sender @bart:x.example is not in the room: its membership is ban",
    ),
    (
        "10",
        levels(BOB, kick=51),
        "rule 9.5: the sender's power 50 is less than the 51 of `kick`",
    ),
    (
        "10",
        levels(BOB, events={"x\n": 51}),
        "rule 9.7: the sender's power 50 is less than the 51 of `events` of 'x\\n'",
    ),
    ("10", levels(BOB, ban="50"), "rule 9.1: '50' is not a power level"),
    (
        "12",
        lambda r: r.make(
            "m.room.message", DAN, {}, auth=[r.state[("m.room.join_rules", "")]]
        ),
        (
            "rule 3.2: m.room.join_rules does not authorise such an event, but stands "
            "in its `auth_events`: "
        ),
    ),
    (
        "5",
        lambda r: r.make(
            "m.room.message", DAN, {}, auth=[r.state[("m.room.member", DAN)]] * 2
        ),
        "rule 2.1: m.room.member of '@dan:d.example' stands 2 times in `auth_events`",
    ),
    (
        "1",
        create(room_id="!r:b.example"),
        "rule 1.2: a room ID of 'b.example' is not one of the sender's a.example",
    ),
]


@pytest.mark.parametrize(("version", "make", "sentence"), SENTENCES)
def test_sentence(version: str, make: Make, sentence: str) -> None:
    """A refusal says which rule, what is so, and what should be."""
    room = Room(version)
    event = make(room)
    with pytest.raises(NotAllowed) as refused:
        room.check(event)
    said = str(refused.value)
    assert said == sentence or (sentence.endswith(": ") and said.startswith(sentence))
    assert (refused.value.status, refused.value.errcode) == (403, "M_FORBIDDEN")
    assert str(refused.value) == f"rule {refused.value.rule}: {refused.value.why}"


def test_the_independent_rules_decide_on_create_events_alone() -> None:
    """A create event is allowed by them; any other one is left to the state."""
    room = Room("12")
    allowed = check_state_independent(room.create, room.cited(room.create))
    assert allowed == Allowed("1.5", "it begins a room")
    message = room.make("m.room.message", OLIVE, {})
    assert check_state_independent(message, room.cited(message)) is None


def test_no_state_bars_a_create_event() -> None:
    """Rule 1 decides on a create event, whatever the state."""
    room = Room("12")
    assert check_state_dependent(room.create, room.state).rule == "1.5"
    assert check_state_dependent(room.create, {}).rule == "1.5"


@pytest.mark.parametrize(("version", "rule"), [("1", "3"), ("12", "4")])
def test_a_state_without_create_event(version: str, rule: str) -> None:
    """A state that no create event began allows nothing."""
    room = Room(version)
    message = room.make("m.room.message", ALICE, {})
    room.without("m.room.create")
    with pytest.raises(NotAllowed, match=f"rule {rule}: the state has no"):
        check_state_dependent(message, room.state)


def test_the_state_decides_not_the_auth_events() -> None:
    """An event that its auth events allow is refused by a state that does not."""
    room = Room("12")
    message = room.make("m.room.message", DAN, {})
    room.check(message)
    room.member(DAN, "ban", by=ALICE)
    with pytest.raises(NotAllowed, match="its membership is ban"):
        check_state_dependent(message, room.state)


@pytest.mark.parametrize(("membership", "by"), [("invite", ALICE), ("join", OLIVE)])
@pytest.mark.parametrize("rule", ["invite", "restricted"])
def test_why_a_join_is_allowed(rule: str, membership: str, by: str) -> None:
    """It says which membership the user has."""
    room = Room("10").join_rule(rule).member(OLIVE, membership, by=by)
    allowed = room.check(room.membership(OLIVE, OLIVE, "join"))
    assert allowed.why == f"the membership of {OLIVE} is {membership}"


def without_key(room: Room) -> Event:
    """A create event that is no state event."""
    return room.make("m.room.create", ALICE, room.create.content, None)


def with_key(room: Room) -> Event:
    """A create event with a state key."""
    return room.make("m.room.create", ALICE, room.create.content, "x")


def knock(room: Room) -> Event:
    """A knock where no join rule is."""
    return room.without("m.room.join_rules").membership(OLIVE, OLIVE, "knock")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (without_key, "rule 1.5: the create event has no state key"),
        (with_key, "rule 1.5: the state key of a create event is empty, not 'x'"),
        (knock, "rule 5.7.1: the state has no join rule that takes knocks"),
    ],
)
def test_why_what_is_absent_is_missed(make: Make, why: str) -> None:
    """What an event or a state lacks is said to be absent, not shown as a value."""
    room = Room("12")
    with pytest.raises(NotAllowed) as refused:
        room.check(make(room))
    assert str(refused.value) == why


def test_no_text_of_a_peer_is_shown_as_it_is() -> None:
    """IDs of versions 1 and 2 may hold anything; a sentence has them escaped."""
    room = Room("1")
    odd = room.make("x\n", DAN, {}, "", event_id="$\n\x1b[31m:d.example")
    foreign = room.make("x", DAN, {}, "", room_id="!\n" + "x" * 200 + ":a.example")
    for auth in ([room.create, odd], [room.create, foreign]):
        event = room.make("m.room.message", DAN, {}, auth=auth)
        with pytest.raises(NotAllowed) as refused:
            room.check(event)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 300
    power = room.make("m.room.power_levels", ALICE, {}, "", room_id="!\n:a.example")
    event = room.make("m.room.message", DAN, {}, auth=[room.create, power])
    with pytest.raises(NotAllowed, match=r"is of !\\n:a\.example"):
        room.check(event)
    odd = room.make("m.room.power_levels", ALICE, {}, "", event_id="$\n:a.example")
    room.rejected.add(odd.event_id)
    event = room.make("m.room.message", DAN, {}, auth=[room.create, odd])
    with pytest.raises(NotAllowed, match=r"\$\\n:a\.example was rejected"):
        room.check(event)

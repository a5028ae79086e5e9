"""Where the text is silent, a switch decides, and the verdict names it."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.switches import SWITCHES
from tests.protocol.rooms.room import ALICE, BOB, DAN, INA, OLIVE, Room

VIA = "join_authorised_via_users_server"


def room_without_rules(room: Room) -> Event:
    """A join of an invited user where there is no join rule event."""
    return room.without("m.room.join_rules").membership(INA, INA, "join")


def room_without_rules_or_invite(room: Room) -> Event:
    """A join of a user that is not invited where there is no join rule event."""
    return room.without("m.room.join_rules").membership(OLIVE, OLIVE, "join")


def room_with_empty_rules(room: Room) -> Event:
    """The same, where the event has no join rule."""
    room.set("m.room.join_rules", ALICE, {})
    return room.membership(INA, INA, "join")


def first_ban_level(room: Room) -> Event:
    """A ban level below the default, by a user without the default's power."""
    users = {BOB: 40} if room.version.has_hash_room_id else {ALICE: 100, BOB: 40}
    room.levels(users=users, events={"m.room.power_levels": 40})
    return room.new_levels(BOB, ban=40)


def invite_of_a_foreigner(room: Room) -> Event:
    """An invite of a foreign user to a room that is of one server."""
    room.create.content["m.federate"] = False
    return room.membership(ALICE, OLIVE, "invite")


def invite_of_a_neighbour(room: Room) -> Event:
    """An invite of a user of the server to a room that is of one server."""
    room.create.content["m.federate"] = False
    return room.membership(ALICE, "@adam:a.example", "invite")


def foreigner_where_federation_is_odd(room: Room) -> Event:
    """A message of a foreign user where `m.federate` is not a boolean."""
    room.create.content["m.federate"] = "true"
    return room.make("m.room.message", DAN, {})


def neighbour_where_federation_is_odd(room: Room) -> Event:
    """A message of the creator where `m.federate` is not a boolean."""
    room.create.content["m.federate"] = 0
    return room.make("m.room.message", ALICE, {})


def foreigner_where_federation_is_off(room: Room) -> Event:
    """A message of a foreign user where `m.federate` is false."""
    room.create.content["m.federate"] = False
    return room.make("m.room.message", DAN, {})


def member_of_no_user(room: Room) -> Event:
    """A member event whose state key is not a user ID."""
    return room.membership(ALICE, "olive", "ban")


def create_of_another_key(room: Room) -> Event:
    """A create event with a state key."""
    return room.make(
        "m.room.create", ALICE, {"creator": ALICE}, "x", auth=[], prev_events=[]
    )


def create_of_no_key(room: Room) -> Event:
    """A create event that is not a state event."""
    return room.make(
        "m.room.create", ALICE, {"creator": ALICE}, auth=[], prev_events=[]
    )


def authorised_leave(room: Room) -> Event:
    """A leave that names as its authorising user what is no user ID."""
    return room.membership(DAN, DAN, "leave", **{VIA: 5})


Make = Callable[[Room], Event]

# The switch, the event, whether it is allowed while the switch is on, and while off;
# which of the verdicts names the switch; the room versions.
ROWS: list[tuple[str, Make, tuple[bool, bool], str, tuple[str, ...]]] = [
    ("absent_join_rule_is_invite", room_without_rules, (True, False), "both", ()),
    ("absent_join_rule_is_invite", room_with_empty_rules, (True, False), "both", ()),
    (
        "absent_join_rule_is_invite",
        room_without_rules_or_invite,
        (False, False),
        "",
        (),
    ),
    ("absent_levels_have_defaults", first_ban_level, (False, True), "on", ()),
    ("federation_binds_targets", invite_of_a_foreigner, (False, True), "on", ()),
    ("federation_binds_targets", invite_of_a_neighbour, (True, True), "", ()),
    ("only_true_federates", foreigner_where_federation_is_odd, (False, True), "on", ()),
    ("only_true_federates", neighbour_where_federation_is_odd, (True, True), "", ()),
    ("only_true_federates", foreigner_where_federation_is_off, (False, False), "", ()),
    ("member_keys_are_user_ids", member_of_no_user, (False, True), "on", ()),
    (
        "create_has_any_state_key",
        create_of_another_key,
        (True, False),
        "both",
        ("1", "11"),
    ),
    ("create_has_any_state_key", create_of_another_key, (False, False), "", ("12",)),
    ("create_has_any_state_key", create_of_no_key, (False, False), "", ("1", "12")),
    ("only_joins_are_authorised", authorised_leave, (True, False), "off", ("8", "12")),
]


@pytest.mark.parametrize(
    ("version", "switch", "make", "allowed", "named"),
    [
        pytest.param(version, *row[:4], id=f"{row[1].__name__}-{version}")
        for row in ROWS
        for version in row[4] or ("1", "6", "10", "12")
    ],
)
def test_switch(
    version: str, switch: str, make: Make, allowed: tuple[bool, bool], named: str
) -> None:
    """The verdict is the one of the reading, and says what it rests on."""
    event, room = make_in(version, make)
    on = verdict(room, event, switch, is_on=True)
    off = verdict(room, event, switch, is_on=False)
    assert (on[0], off[0]) == allowed
    assert on[1] == (switch if named in {"both", "on"} else "")
    assert off[1] == (switch if named in {"both", "off"} else "")


def make_in(version: str, make: Make) -> tuple[Event, Room]:
    """The event, and the room that it was made in."""
    room = Room(version)
    return make(room), room


def verdict(room: Room, event: Event, switch: str, *, is_on: bool) -> tuple[bool, str]:
    """Whether an event is allowed with a switch on or off, and what that rests on."""
    changed: dict[str, bool] = {switch: is_on}
    try:
        return True, room.check(event, replace(SWITCHES, **changed)).switch
    except NotAllowed as refused:
        return False, refused.switch


def test_each_switch_is_tried() -> None:
    """No switch is left out: some are tried where what they decide is."""
    elsewhere = {
        "other_power_levels_are_free",
        "states_are_in_their_chains",
        "creates_are_power_events",
        "rejected_are_candidates",
    }
    tried = {row[0] for row in ROWS} | elsewhere
    assert tried == {field.name for field in fields(SWITCHES)}

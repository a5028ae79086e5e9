"""What holds of the rules whatever happens in a room."""

from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.rooms.authorization import (
    Allowed,
    NotAllowed,
    check_by_auth_events,
    check_state_dependent,
)
from homeserver.protocol.rooms.state import StateMap, key_of
from tests.protocol.rooms.room import ALICE, BART, BOB, CAROL, DAN, INA, OLIVE, Room

USERS = st.sampled_from([ALICE, BOB, CAROL, DAN, INA, BART, OLIVE])
LEVEL = st.sampled_from([-1, 0, 49, 50, 51, 100, "50"])
NAMES = st.sampled_from(["ban", "kick", "invite", "state_default", "users_default"])


@st.composite
def members(draw: st.DrawFn) -> tuple[str, str, Json, str]:
    """A member event: type, sender, content, state key."""
    sender = draw(USERS)
    target = draw(st.just(sender) | USERS)
    membership = draw(st.sampled_from(["join", "invite", "leave", "ban", "knock"]))
    content: Json = {"membership": membership}
    if draw(st.booleans()):
        content["join_authorised_via_users_server"] = draw(USERS)
    return "m.room.member", sender, content, target


@st.composite
def others(draw: st.DrawFn) -> tuple[str, str, Json, str]:
    """Any other state event."""
    kind = draw(
        st.sampled_from(
            ["m.room.power_levels", "m.room.join_rules", "x.name", "m.room.aliases"]
        )
    )
    content: Json = {}
    if kind == "m.room.power_levels":
        content = draw(st.dictionaries(NAMES, LEVEL))
        content["users"] = draw(st.dictionaries(USERS, LEVEL))
        content["events"] = draw(st.dictionaries(st.just("x.name"), LEVEL))
    elif kind == "m.room.join_rules":
        rules = ["public", "invite", "knock", "restricted", "knock_restricted"]
        content = {"join_rule": draw(st.sampled_from(rules))}
    key = draw(st.sampled_from(["", DAN, "d.example"])) if kind == "x.name" else ""
    return kind, draw(USERS), content, key


HISTORIES = st.lists(members() | others(), min_size=1, max_size=12)


def is_allowed(event: Event, state: StateMap) -> Allowed | str:
    """The verdict on an event, or the refusal."""
    try:
        return check_state_dependent(event, state)
    except NotAllowed as refused:
        return str(refused)


@settings(deadline=None, max_examples=150)
@given(version=st.sampled_from(sorted(ROOM_VERSIONS)), history=HISTORIES)
def test_auth_events_say_as_much_as_the_state(
    version: str, history: list[tuple[str, str, Json, str]]
) -> None:
    """The auth events of an event give it the verdict that the whole state gives.

    So an event that is allowed stays allowed by what it cites, whatever comes later.
    """
    room = Room(version)
    allowed: list[Event] = []
    for kind, sender, content, key in history:
        event = room.make(kind, sender, content, key)
        verdict = is_allowed(event, room.state)
        if isinstance(verdict, Allowed):
            assert room.check(event) == verdict
            own_key = key_of(event)
            assert own_key is not None
            room.set(kind, sender, content, own_key[1], event=event)
            allowed.append(event)
        else:
            try:
                room.check(event)
            except NotAllowed as refused:
                assert str(refused) == verdict
            else:
                raise AssertionError(verdict)
    for event in allowed:
        check_by_auth_events(event, room.cited(event))

"""What is read from a room's state."""

from homeserver.protocol.rooms.state import state_of, users_with
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom


def test_users_with_a_membership() -> None:
    """They are those of member events that name a user ID."""
    room = MadeRoom("10")
    members = [
        room.join,
        room.member(BOB, "leave", cites=[]),
        room.member("@carol:c", "invite", sender=ALICE, cites=[]),
        room.member("nobody", "join", sender=ALICE, cites=[]),
        room.send("m.test", ALICE, {"membership": "join"}, "@dan:d", cites=[]),
    ]
    state = state_of(members)
    assert [str(each) for each in users_with(state, {"join"})] == [ALICE]
    assert [str(each) for each in users_with(state, {"invite", "join"})] == [
        ALICE,
        "@carol:c",
    ]
    assert users_with(state, {"ban"}) == []

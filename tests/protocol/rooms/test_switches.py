"""What the switches of power levels decide; those of state resolution stand there."""

import pytest

from homeserver.protocol.rooms.authorization import NotAllowed, check_state_dependent
from homeserver.protocol.rooms.state import state_of
from homeserver.protocol.rooms.switches import Switches
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom


def test_power_levels_of_other_state_keys() -> None:
    """They are compared with nothing, or with the power levels of the room."""
    room = MadeRoom("10")
    users: dict[str, object] = {"users": {ALICE: 100, BOB: 100}}
    current = room.send("m.room.power_levels", ALICE, users, cites=[room.join])
    taken: dict[str, object] = {"users": {}}
    cites = [current, room.join]
    other = room.send("m.room.power_levels", ALICE, taken, "other", cites=cites)
    own = room.send("m.room.power_levels", ALICE, taken, "", cites=cites)
    state = state_of([room.create, room.join, current])
    allowed = check_state_dependent(other, state)
    assert (allowed.rule, allowed.switch) == ("9.4", "other_power_levels_are_free")
    compared = Switches(other_power_levels_are_free=False)
    for event, switches in ((other, compared), (own, compared), (own, Switches())):
        with pytest.raises(NotAllowed) as problem:
            check_state_dependent(event, state, switches)
        assert BOB in problem.value.why

"""Synapse's own rules and state resolution say of random rooms what ours say.

`RANDOM_ROOMS=20000 scripts/test --interop tests/interop/test_random_rooms.py` asks
about more rooms than usual, `RANDOM_ROOMS_FROM` about others.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.authorization import NotAllowed, check_state_dependent
from homeserver.protocol.rooms.state import state_of
from homeserver.protocol.rooms.switches import Switches
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom
from tests.protocol.rooms.random_rooms import VERSIONS, RandomRoom, RoomBegunAgain
from tests.support.json_lines import JsonLines, running
from tests.support.room_questions import Difference, differences, question

_TOP = Path(__file__).parent.parent.parent
_ROOMS = int(os.environ.get("RANDOM_ROOMS", "300"))
_FROM = int(os.environ.get("RANDOM_ROOMS_FROM", "0"))

# Where Synapse reads the text otherwise than we do, we read as it does here.
_SYNAPSE = Switches(federation_binds_targets=True)


@pytest.fixture(scope="module")
def synapse(installed: None) -> Iterator[JsonLines]:
    """Synapse, to be asked about rooms."""
    python = _TOP / ".venv-synapse" / "bin" / "python"
    with running([python, Path(__file__).parent / "synapse_oracle.py"]) as oracle:
        yield oracle


def random_room(number: int) -> RandomRoom:
    """The room of that number: of each version in turn, 5 to 200 events, few large."""
    size = int(5 * 40 ** Random(number).random())
    return RandomRoom(number, VERSIONS[number % len(VERSIONS)], size, _SYNAPSE)


def test_several_create_events(synapse: JsonLines) -> None:
    """Where create events are in conflict, the states are the same too."""
    merges = creates = 0
    for number in range(_FROM, _FROM + _ROOMS // 3):
        version = VERSIONS[number % (len(VERSIONS) - 1)]
        size = int(5 * 40 ** Random(number).random())
        room = RoomBegunAgain(number, version, size, _SYNAPSE)
        creates += sum(x.type == "m.room.create" for x in room.events.values()) - 1
        merges += len(room.merges)
        found = differences(room, synapse.ask(question(room)))
        assert [(number, each) for each in found if not each.is_crash] == []
    assert creates > _ROOMS // 6
    assert merges > _ROOMS


def test_same_verdicts_and_states(synapse: JsonLines) -> None:
    """Each event has the same ID and verdict, each merge the same state."""
    found: list[tuple[int, Difference]] = []
    events = merges = crashes = 0
    for number in range(_FROM, _FROM + _ROOMS):
        room = random_room(number)
        events += len(room.events)
        merges += len(room.merges)
        for each in differences(room, synapse.ask(question(room))):
            if each.is_crash:
                crashes += 1
            else:
                found.append((number, each))
    assert found[:3] == []
    assert events > 30 * _ROOMS
    assert merges > 5 * _ROOMS
    # Synapse has no verdict on a few events, as where a member event has no state key.
    assert crashes < events / 200


# Each that Synapse allows and we refuse: what the section says, and the power levels.
_LEVELS = [
    pytest.param("9", BOB, True, id="a level is an integer, or a string of one"),
    pytest.param("9", BOB, "5_0", id="a string has digits alone"),
    pytest.param("9", BOB, "\u0665", id="digits are those of ASCII"),
    pytest.param("9", BOB, "1" * 20, id="an integer is within 64 bits"),
    pytest.param("10", "@bob:h_.example", 1, id="server names have no underscores"),
]


@pytest.mark.parametrize(("version", "user", "value"), _LEVELS)
def test_levels_that_synapse_alone_reads(
    synapse: JsonLines, version: str, user: str, value: object
) -> None:
    """Synapse takes levels and user IDs that the specification does not have.

    Room Versions, "Authorisation rules", on `users` of `m.room.power_levels`;
    Appendices, "Server Name".
    """
    room = MadeRoom(version)
    content: Json = {"users": {ALICE: 100, user: value}}
    event = room.send("m.room.power_levels", ALICE, content, cites=[room.join])
    assert _verdicts(synapse, room, event) == (False, True)


@pytest.mark.parametrize("empty", ["", []])
def test_levels_that_are_empty(synapse: JsonLines, empty: object) -> None:
    """Synapse takes an empty string or list for levels, which have to be an object.

    Room Versions, "Authorisation rules" up to version 9, on `events`; Client-server
    API, `m.room.power_levels`.
    """
    room = MadeRoom("9")
    content: Json = {"users": {ALICE: 100}}
    first = room.send("m.room.power_levels", ALICE, content, cites=[room.join])
    content = {**content, "events": empty}
    event = room.send("m.room.power_levels", ALICE, content, cites=[room.join, first])
    assert _verdicts(synapse, room, event) == (False, True)


def test_invites_into_a_room_without_federation(synapse: JsonLines) -> None:
    """Synapse refuses a target of another server, not a sender of another one alone.

    Room Versions, "Authorisation rules", 3.
    """
    room = MadeRoom("10", more={"m.federate": False})
    event = room.member(BOB, "invite", sender=ALICE, cites=[room.join])
    assert _verdicts(synapse, room, event) == (True, False)


def _verdicts(synapse: JsonLines, room: MadeRoom, event: Event) -> tuple[bool, bool]:
    """Whether we allow the last event of a room, and whether Synapse does."""
    events = list(room.events.values())
    assert events.pop() is event
    try:
        check_state_dependent(event, state_of(events))
    except NotAllowed:
        ours = False
    else:
        ours = True
    answer = synapse.ask(
        {
            "room_version": room.version.version,
            "pdus": [each.pdu for each in room.events.values()],
            "rejected": [],
            "states": [list(range(len(events)))],
            "checks": [[len(events), 0]],
            "merges": [],
        }
    )
    return ours, answer["verdicts"] == [[None, None, None]]

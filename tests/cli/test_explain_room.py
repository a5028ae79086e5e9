"""The command that explains an event of a room in a file.

Rules: it ends with 0 for what is accepted, with 1 for what is not, and with 2 and one
line for what cannot be explained.
"""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from homeserver.cli.main import main
from homeserver.protocol.events.event import Event
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom


class Rooms:
    """Rooms in files, and what the command says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def explain(self, events: object, *arguments: str) -> Result:
        """Run the command on a file with these events."""
        path = self.folder / "room.json"
        path.write_text(json.dumps(events), "utf-8")
        command = ["explain", "--room", str(path), *arguments]
        return CliRunner().invoke(main, command, prog_name="homeserver")

    def explain_room(self, room: MadeRoom, *arguments: str) -> Result:
        """The same, on the events of a room."""
        return self.explain([each.pdu for each in room.events.values()], *arguments)


@pytest.fixture
def rooms(tmp_path: Path) -> Rooms:
    """Files in a folder that goes."""
    return Rooms(tmp_path)


def topic(room: MadeRoom, sender: str = ALICE) -> Event:
    """One more topic."""
    return room.send("m.room.topic", sender, {}, cites=[room.join][: sender == ALICE])


def test_accepted(rooms: Rooms) -> None:
    """The last event is explained, and the state before it told; it ends with 0."""
    room = MadeRoom("10")
    last = topic(room)
    result = rooms.explain_room(room)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"{last.event_id}: m.room.topic '' by {ALICE}, room version 10",
        "accepted, by the current state: rule 10: no rule refuses it",
        "the state before it:",
        f"  m.room.create '' by {ALICE}: {room.create.event_id}",
        f"  m.room.member '{ALICE}' by {ALICE}: {room.join.event_id}",
    ]


def test_rejected(rooms: Rooms) -> None:
    """It ends with 1, and one line on standard error says why."""
    room = MadeRoom("10")
    last = topic(room, BOB)
    result = rooms.explain_room(room)
    assert (result.exit_code, result.stderr) == (1, f"{last.event_id} is rejected\n")
    assert (
        "rejected, by its auth events: rule 5: "
        f"the sender {BOB} is not in the room: its membership is leave"
    ) in result.stdout.splitlines()


def test_chosen(rooms: Rooms) -> None:
    """`--event` chooses another one."""
    room = MadeRoom("10")
    chosen = topic(room)
    topic(room, BOB)
    result = rooms.explain_room(room, "--event", chosen.event_id)
    assert result.exit_code == 0
    assert result.stdout.startswith(chosen.event_id)


def test_json(rooms: Rooms) -> None:
    """`--json` prints one object in a line, with the same exit status."""
    room = MadeRoom("12")
    last = topic(room, BOB)
    result = rooms.explain_room(room, "--json")
    assert result.exit_code == 1
    [line] = result.stdout.splitlines()
    told = json.loads(line)
    assert (told["event_id"], told["outcome"]) == (last.event_id, "rejected")
    assert len(told["events"]) == 3


def test_dropped(rooms: Rooms) -> None:
    """An event that no server takes in ends with 1; others are told beside it."""
    room = MadeRoom("10")
    good = topic(room)
    bad = good.pdu | {"depth": -1}
    pdus = [room.create.pdu, room.join.pdu, bad]
    result = rooms.explain(pdus)
    assert result.exit_code == 1
    assert "dropped: `depth` is not between 0 and 2^63-1: -1" in result.stdout
    assert result.stderr.endswith(" is dropped\n")
    result = rooms.explain([*pdus, good.pdu])
    assert result.exit_code == 0
    assert (
        "dropped: event 3 of the file: `depth` is not between 0 and 2^63-1: -1"
        in result.stdout.splitlines()
    )


def test_outlier(rooms: Rooms) -> None:
    """What its auth events allow ends with 0, though the state before is not known."""
    room = MadeRoom("10")
    unknown, last = topic(room), topic(room)
    del room.events[unknown.event_id]
    result = rooms.explain_room(room)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "outlier, by its auth events: rule 10: no rule refuses it",
        "the state before it is not known, as that after these is not: "
        + unknown.event_id,
    ]
    assert last.event_id in result.stdout


def test_notes(rooms: Rooms) -> None:
    """Changed content, switches and what is not judged are told."""
    room = MadeRoom("10", more={"m.federate": False})
    invite = room.member(BOB, "invite", sender=ALICE, cites=[room.join])
    changed = invite.pdu | {"content": {"membership": "invite", "more": 1}}
    unknown = topic(room)
    lost = room.send("m.room.name", ALICE, {}, cites=[unknown])
    pdus = [room.create.pdu, room.join.pdu, changed, lost.pdu]
    result = rooms.explain(pdus, "--event", invite.event_id)
    assert result.exit_code == 0
    switch = "switch federation_binds_targets is off; otherwise: rejected, by its "
    switch += f"auth events: rule 3: the room is of a.example alone; {BOB} is not"
    lost_line = f"not judged: {lost.event_id}: it cannot be judged: "
    lost_line += f"the auth event {unknown.event_id} is not known"
    assert result.stdout.splitlines()[2:5] == [
        "its content hash does not match: the redacted event is judged",
        switch,
        lost_line,
    ]


def test_switch_of_another_state(rooms: Rooms) -> None:
    """A switch by which another state would hold is told so."""
    room = MadeRoom("12")
    levels: dict[str, object] = {"users": {BOB: 100}}
    old = room.send("m.room.power_levels", ALICE, levels, cites=[room.join])
    new = room.send("m.room.power_levels", ALICE, levels, cites=[old, room.join])
    topics = [
        room.send("m.room.topic", ALICE, {}, cites=[x, room.join], after=[new], ts=ts)
        for ts, x in ((1, new), (2, old))
    ]
    room.send("m.room.message", ALICE, {}, None, cites=[new, room.join], after=topics)
    [line] = [x for x in rooms.explain_room(room).stdout.splitlines() if "switch" in x]
    assert line == (
        "switch states_are_in_their_chains is on; otherwise: accepted, by the current "
        "state: rule 11: no rule refuses it; another state would hold before it"
    )


def test_svg(rooms: Rooms) -> None:
    """`--svg` draws the graph, whatever the verdict."""
    room = MadeRoom("10")
    topic(room, BOB)
    path = rooms.folder / "room.svg"
    assert rooms.explain_room(room, "--svg", str(path)).exit_code == 1
    drawn = ElementTree.fromstring(path.read_text("utf-8"))
    marks = [g[1].attrib["class"] for g in drawn.iter("{http://www.w3.org/2000/svg}g")]
    assert marks == ["accepted", "accepted", "rejected"]


def test_svg_that_cannot_be_written(rooms: Rooms) -> None:
    """It ends with 2 and the reason."""
    path = rooms.folder / "missing" / "room.svg"
    result = rooms.explain_room(MadeRoom("10"), "--svg", str(path))
    assert result.exit_code == 2
    assert result.stderr == f"{path} cannot be written: No such file or directory\n"


def test_file_without_an_end() -> None:
    """What is too large is not read to its end."""
    command = ["explain", "--room", "/dev/zero"]
    result = CliRunner().invoke(main, command, prog_name="homeserver")
    assert result.exit_code == 2
    assert result.stderr == f"/dev/zero: the file has more than {64 * 2**20} bytes\n"


def test_room_version(rooms: Rooms) -> None:
    """`--room-version` says it where the create event is not there."""
    room = MadeRoom("10")
    del room.events[room.create.event_id]
    assert rooms.explain_room(room).exit_code == 2
    result = rooms.explain_room(room, "--room-version", "10")
    assert result.exit_code == 2
    assert f"the auth event {room.create.event_id} is not known" in result.stderr
    result = rooms.explain_room(room, "--room-version", "13")
    assert result.exit_code == 2
    assert "unknown room version '13'" in result.stderr


@pytest.mark.parametrize(
    ("events", "arguments", "why"),
    [
        ([], [], "no event of the file is the create event"),
        ({}, [], "no event of the file is the create event"),
        ([], ["--room-version", "10"], "the last event of the file has no ID"),
        ([{}], ["--room-version", "1"], "the last event of the file has no ID"),
        ([], ["--room-version", "10", "--event", "$\x1b"], r"$\x1b is not in the file"),
    ],
)
def test_bad_input(
    rooms: Rooms, events: object, arguments: list[str], why: str
) -> None:
    """What cannot be explained ends with 2 and one line that says why."""
    result = rooms.explain(events, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert why in line


def test_standard_input() -> None:
    """`-` reads the events from standard input."""
    room = MadeRoom("11")
    lines = "\n".join(json.dumps(each.pdu) for each in room.events.values())
    result = CliRunner().invoke(main, ["explain", "--room", "-"], input=lines)
    assert result.exit_code == 0
    assert result.stdout.startswith(room.join.event_id)


def test_text_of_peers(rooms: Rooms) -> None:
    """What a peer put into an event is shown, never obeyed by the terminal."""
    room = MadeRoom("10")
    room.send("m.\x1b[2J\n", ALICE, {}, "\x1b[31m", cites=[room.join])
    result = rooms.explain_room(room)
    assert result.exit_code == 0
    assert result.stdout.replace("\n", "").isprintable()
    assert len(result.stdout.splitlines()) == 5

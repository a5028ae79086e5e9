"""The command that explains a file, or an event of a room."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from homeserver.cli.main import main
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.events.event import Event
from homeserver.protocol.key_documents import build_v2
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom
from tests.support.pdus import message
from tests.support.signed_requests import THEM


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


class Files:
    """Files, and what the command says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = self.write("keys", encode(DOCUMENT))

    def write(self, name: str, data: bytes) -> str:
        """Write a file; its path."""
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def explain(self, data: bytes, *arguments: str) -> Result:
        """Run the command on a file with this content, with the keys."""
        command = ["explain", self.write("given", data), "--keys", self.keys]
        return CliRunner().invoke(main, [*command, *arguments], prog_name="homeserver")


DOCUMENT = build_v2(THEM.server_name, [THEM.key], [], 10**15)
SEND = "/_matrix/federation/v1/send/1"


def raw(body: str) -> bytes:
    """A request whose empty body was signed."""
    header = f"Authorization: {THEM.authorize('PUT', SEND, {})}"
    return f"PUT {SEND} HTTP/1.1\r\n{header}\r\n\r\n{body}".encode()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Files in a folder that goes."""
    return Files(tmp_path)


def test_files_that_verify(files: Files) -> None:
    """A request, an event and a document that verify end with 0."""
    request, event, document = (
        files.explain(each)
        for each in (raw("{}"), encode(message("11")), encode(DOCUMENT))
    )
    assert (request.exit_code, request.stdout) == (0, "request: it verifies\n")
    assert event.exit_code == 0
    assert event.stdout.startswith("event $")
    assert event.stdout.endswith(", as of room version 11: it verifies\n")
    assert document.stdout == "key document: it verifies\n"


def test_files_that_do_not(files: Files) -> None:
    """What has to change is told in a sentence, and the command ends with 1."""
    result = files.explain(raw('{"a":"\\u001b"}'))
    assert result.exit_code == 1
    assert result.stdout == (
        "request: it does not verify\n"
        "  content-empty: `content` was signed as {}; sign the body of the request: it "
        "has '{}', and should have '{\"a\":\"\\\\u001b\"}'\n"
    )
    result = files.explain(raw("{}"), "--destination", "other.example", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["kind"], told["verifies"]) == ("request", False)
    assert [hint["code"] for hint in told["hints"]] == ["name-other", "destination"]
    formless = files.explain(b'{"type":"m.x"}', "--room-version", "11")
    assert "event (no ID), as of room version 11: it does not" in formless.stdout


def test_files_without_keys(files: Files) -> None:
    """What cannot be checked is told, and does not count as verified."""
    command = ["explain", files.write("given", raw("{}"))]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert result.stdout == (
        "request: not checked\n"
        "  not checked: the signature: --keys has no keys of them.example\n"
    )


def test_files_that_cannot_be_read(files: Files) -> None:
    """What is no request, event or document ends with 2, and so do bad keys."""
    result = files.explain(b"hello")
    assert result.exit_code == 2
    assert result.stderr.startswith(str(files.folder / "given"))
    files.keys = files.write("keys", b"[{}]")
    result = files.explain(raw("{}"))
    assert result.exit_code == 2
    assert "`server_name`" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["--room", "-", "-"]])
def test_what_to_explain(arguments: list[str]) -> None:
    """Either a file or a room is explained."""
    result = CliRunner().invoke(main, ["explain", *arguments], input="[]")
    assert result.exit_code == 2
    assert result.stderr == (
        "give a FILE to explain, or a room with --room FILE; not both\n"
    )

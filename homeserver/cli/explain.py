"""The command that explains why something does not verify, or is rejected.

Rules: as those of `cli`. Only the file is read; no daemon is needed.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click
from msgspec import to_builtins

from homeserver.cli.options import fail, json_option, parsed, read_file
from homeserver.cli.times import now_ts
from homeserver.protocol.diagnosis.explanation import Findings, Given
from homeserver.protocol.diagnosis.explanation import explain as explain_material
from homeserver.protocol.diagnosis.material import MAX_BYTES, read_keys, read_material
from homeserver.protocol.errors import ProtocolError, printable, quote
from homeserver.protocol.events.room_versions import RoomVersion, parse_room_version
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.rooms import drawing, explanation, room_file
from homeserver.rooms.room_file import RoomFile

_T = TypeVar("_T")

_CHECKS = {
    4: "by its auth events",
    5: "by the state before it",
    6: "by the current state",
}


@click.command(short_help="Explain why something does not verify, or is rejected.")
@json_option
@click.argument("given", metavar="FILE", required=False, type=click.File("rb"))
@click.option(
    "--keys",
    "key_file",
    type=click.File("rb"),
    metavar="FILE",
    help="The key document of the server that signed, or a JSON list of several.",
)
@click.option(
    "--origin",
    callback=parsed(ServerName.parse),
    metavar="NAME",
    help="The server of a key document.  [default: the one that it names]",
)
@click.option(
    "--destination",
    callback=parsed(ServerName.parse),
    metavar="NAME",
    help="The server that a request is for.  [default: the one of the header]",
)
@click.option(
    "--event-id", metavar="ID", help="The ID that another server has for the PDU."
)
@click.option(
    "--room",
    "file",
    type=click.File("rb"),
    metavar="FILE",
    help='The events of the room, as a JSON list or one a line ("-": standard input).',
)
@click.option(
    "--event",
    "chosen",
    metavar="ID",
    help="With --room: the event to explain.  [default: the last one of FILE]",
)
@click.option(
    "--room-version",
    "named",
    metavar="VERSION",
    callback=parsed(parse_room_version),
    is_eager=True,  # before FILE is opened: it may end the command
    help="That of the room.  [default: what the create event or the PDU says]",
)
@click.option(
    "--svg",
    "image",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="With --room: draw the graph of the room's events into FILE.",
)
def explain(  # noqa: PLR0913 - an argument for each option
    *,
    as_json: bool,
    given: BinaryIO | None,
    key_file: BinaryIO | None,
    origin: ServerName | None,
    destination: ServerName | None,
    event_id: str | None,
    file: BinaryIO | None,
    chosen: str | None,
    named: RoomVersion | None,
    image: Path | None,
) -> None:
    """Say what has to change for FILE to verify: offline, nothing is fetched.

    FILE is a raw HTTP request with its head, a PDU, or a key document ("-": standard
    input). It exits with 0 if everything verifies, with 1 if not or if keys are
    missing, and with 2 if FILE cannot be read.

    With --room, say which rule lets an event into its room, or not, and which state
    holds there. The room is judged as a server would judge it that received its events
    in the order of FILE, but each after those that it cites. Signatures are not
    verified. It ends with 0 where the event is allowed, with 1 where it is rejected,
    soft-failed or dropped, and with 2 where that cannot be said.

    \b
    Example:
      homeserver explain request.txt --keys keys.json --destination us.example
      homeserver explain --room events.json --svg room.svg
    """
    if (given is None) == (file is None):
        fail(2, "give a FILE to explain, or a room with --room FILE; not both")
    if file is not None:
        _explain_room(file, chosen, named, image, as_json=as_json)
    elif given is not None:
        options = Given(
            now_ts(),
            _read(key_file, read_keys) if key_file is not None else {},
            origin,
            destination,
            named,
            event_id,
        )
        _show(explain_material(_read(given, read_material), options), as_json=as_json)


def _read(file: BinaryIO, read: Callable[[bytes], _T]) -> _T:
    try:
        return read(read_file(file, MAX_BYTES + 1))
    except ProtocolError as problem:
        fail(2, f"{printable(file.name)}: {problem}")


def _show(findings: Findings, *, as_json: bool) -> None:
    """Print findings; exits with 1 if something does not verify."""
    if as_json:
        members = {"verifies": findings.verifies, **to_builtins(findings)}
        print(json.dumps(members))
    else:
        print("\n".join(map(printable, _told(findings))))
    if not findings.verifies:
        sys.exit(1)


def _told(findings: Findings) -> Iterator[str]:
    what = findings.kind.replace("-", " ")
    if findings.room_version is not None:
        what += f" {findings.event_id or '(no ID)'}"
        what += f", as of room version {findings.room_version}"
    if findings.verifies:
        yield f"{what}: it verifies"
        return
    yield f"{what}: it does not verify" if findings.hints else f"{what}: not checked"
    for hint in findings.hints:
        yield f"  {hint.code}: {hint.sentence}"
    for each in findings.unchecked:
        yield f"  not checked: {each}"


def _explain_room(
    file: BinaryIO,
    chosen: str | None,
    named: RoomVersion | None,
    image: Path | None,
    *,
    as_json: bool,
) -> None:
    try:
        room = room_file.read(read_file(file, room_file.MAX_BYTES + 1), named)
        result, nodes = explanation.explain(room, _chosen(room, chosen))
    except ProtocolError as problem:
        fail(2, f"{printable(file.name)}: {problem}")
    except explanation.NotExplained as problem:
        fail(2, printable(str(problem)))
    if image is not None:
        try:
            image.write_text(drawing.draw(nodes), "utf-8")
        except OSError as problem:
            fail(2, f"{image} cannot be written: {problem.strerror}")
    if as_json:
        print(json.dumps(result))
    else:
        print("\n".join(map(printable, _lines(result))))
    if result["outcome"] not in explanation.ALLOWED:
        fail(1, f"{printable(str(result['event_id']))} is {result['outcome']}")


def _chosen(room: RoomFile, chosen: str | None) -> EventId:
    if chosen is not None:
        return EventId(chosen)
    if room.last is None:
        raise explanation.NotExplained("the last event of the file has no ID")
    return room.last


def _lines(result: dict[str, Any]) -> Iterator[str]:
    """The lines of an explanation in text."""
    if result["outcome"] == "dropped":
        yield f"{result['event_id']}: dropped: {result['why']}"
        return
    version = result["room_version"]
    yield f"{result['event_id']}: {_named(result)}, room version {version}"
    check = _CHECKS[result["check"]]
    rule = f"rule {result['rule']}: {result['why']}"
    yield f"{result['outcome']}, {check}: {rule}"
    if not result["content_hash_matches"]:
        yield "its content hash does not match: the redacted event is judged"
    for switch in result["switches"]:
        yield _switch(switch)
    for each in result["dropped"]:
        yield f"dropped: event {each['number']} of the file: {each['why']}"
    for event_id, why in result["not_judged"].items():
        yield f"not judged: {event_id}: {why}"
    if result["state_before"] is None:
        others = ", ".join(result["prev_events_without_state"])
        yield f"the state before it is not known, as that after these is not: {others}"
    else:
        yield "the state before it:"
        yield from (f"  {_named(x)}: {x['event_id']}" for x in result["state_before"])


def _named(event: dict[str, Any]) -> str:
    key = "" if event["state_key"] is None else f" {quote(event['state_key'])}"
    return f"{event['type']}{key} by {event['sender']}"


def _switch(switch: dict[str, Any]) -> str:
    otherwise = switch["otherwise"]
    line = f"switch {switch['name']} is {'on' if switch['value'] else 'off'}; "
    line += f"otherwise: {otherwise['outcome']}, {_CHECKS[otherwise['check']]}: "
    line += f"rule {otherwise['rule']}: {otherwise['why']}"
    if otherwise["state_before_differs"]:
        line += "; another state would hold before it"
    return line

"""The command that explains why an event is let into a room, or is not.

Rules: as those of `cli`. Nothing outside the file is asked, and no daemon.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from homeserver.cli.options import fail, json_option, parsed
from homeserver.protocol.errors import ProtocolError, printable, quote
from homeserver.protocol.events.room_versions import RoomVersion, parse_room_version
from homeserver.protocol.identifiers import EventId
from homeserver.rooms import drawing, explanation, room_file
from homeserver.rooms.room_file import RoomFile

_CHECKS = {
    4: "by its auth events",
    5: "by the state before it",
    6: "by the current state",
}


@click.command(short_help="Explain why an event is let into a room, or is not.")
@json_option
@click.option(
    "--room",
    "file",
    required=True,
    type=click.File("rb"),
    metavar="FILE",
    help='The events of the room, as a JSON list or one a line ("-": standard input).',
)
@click.option(
    "--event",
    "chosen",
    metavar="ID",
    help="The event to explain.  [default: the last one of FILE]",
)
@click.option(
    "--room-version",
    "named",
    metavar="VERSION",
    callback=parsed(parse_room_version),
    is_eager=True,  # before FILE is opened: it may end the command
    help="That of the room.  [default: what the create event in FILE says]",
)
@click.option(
    "--svg",
    "image",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Draw the graph of the room's events into FILE.",
)
def explain(
    *,
    as_json: bool,
    file: BinaryIO,
    chosen: str | None,
    named: RoomVersion | None,
    image: Path | None,
) -> None:
    """Say which rule lets an event into its room, or not, and which state holds there.

    The room is judged as a server would judge it that received its events in the order
    of FILE, but each after those that it cites. Signatures are not verified. It ends
    with 0 where the event is allowed, with 1 where it is rejected, soft-failed or
    dropped, and with 2 where that cannot be said.

    \b
    Example:
      homeserver explain --room events.json --svg room.svg
    """
    try:
        room = room_file.read(file.read(room_file.MAX_BYTES + 1), named)
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
    """The explanation for a person."""
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

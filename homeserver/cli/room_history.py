"""The commands about the events of a room: its graph, its history, what arrives.

Rules: as in `ask`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click
import msgspec

from homeserver.cli.daemon import Daemon, daemon_options
from homeserver.cli.options import fail, json_option
from homeserver.cli.room_memberships import ask
from homeserver.control.client import MAX_WAIT_SECONDS, ControlError
from homeserver.protocol.errors import printable
from homeserver.rooms.control_views import GraphEvent
from homeserver.rooms.graph_rows import DRAWN, in_rows, node_of

_SECONDS = 60.0  # a page of a large room takes some


@click.command(short_help="Show the events of a room as a graph.")
@daemon_options
@json_option
@click.argument("room", metavar="ROOM")
@click.option(
    "--format",
    "drawn",
    type=click.Choice([*DRAWN]),
    help="A drawing: in the language of Graphviz, or as SVG.",
)
def graph(*, daemon: Daemon, as_json: bool, room: str, drawn: str | None) -> None:
    """Show the events of a room in the order of their arrival, and what is before each.

    \b
    Example:
      homeserver room graph -c homeserver.toml '!r:alpha.test' --format svg > room.svg
    """
    if drawn and as_json:
        fail(2, "--format and --json are two forms; choose one")
    found = pages(daemon, [room, "graph"], "events", 0)
    if drawn:
        known = msgspec.convert(list(found), list[GraphEvent])
        print(DRAWN[drawn]([*map(node_of, in_rows(known))]), end="")
        return
    for each in found:
        if as_json:
            print(json.dumps(each))
        else:
            before = ", ".join(each["prev_events"]) or "nothing"
            text = f"{each['event_id']} {each['type']}: {each['verdict']}"
            print(printable(f"{text}; after {before}"))


@click.command(short_help="Fetch the history of a room.")
@daemon_options
@json_option
@click.argument("room", metavar="ROOM")
@click.option(
    "--from", "from", metavar="EVENT", help="Only what leads to it; by default all."
)
@click.option("--limit", type=int, metavar="NUMBER", help="By default 100 events.")
@click.option(
    "--via",
    metavar="NAME",
    multiple=True,
    help="A server that is in the room; repeatable. By default those that are known.",
)
def backfill(*, daemon: Daemon, as_json: bool, room: str, **options: Any) -> None:
    """Fetch events of a room from before the oldest that the server has.

    \b
    Example:
      homeserver room backfill -c homeserver.toml '!r:beta.test' --limit 50
    """
    done = ask(daemon, room, "backfill", options)
    if as_json:
        print(json.dumps(done))
        return
    for each in done["failures"]:
        click.echo(printable(f"{each['server_name']}: {each['reason']}"), err=True)
    for each in done["events"]:
        print(printable(f"{each['event_id']} {each['type']}: {each['verdict']}"))
    if done["is_complete"]:
        click.echo("nothing is missing back to the first event", err=True)


@click.command(short_help="Show the events of a room as they arrive.")
@daemon_options
@json_option
@click.argument("room", metavar="ROOM")
@click.option("--after", type=int, default=0, help="How many events are left out.")
@click.option("--follow", is_flag=True, help="Wait for more, until it is interrupted.")
def events(
    *, daemon: Daemon, as_json: bool, room: str, after: int, follow: bool
) -> None:
    """Show the events of a room in the order of their arrival.

    \b
    Example:
      homeserver room events -c homeserver.toml '!r:alpha.test' --follow
    """
    wait = MAX_WAIT_SECONDS if follow else 0.0
    while True:
        page = _page(daemon, [room, "events"], after=after, wait=wait)
        for each in page["events"]:
            event = each["event"]
            text = f"{each['event_id']} {event['type']} by {event['sender']}"
            text = f"{text}: {each['verdict']}"
            print(json.dumps(each) if as_json else printable(text), flush=True)
        if page["next"] == after and not follow:
            return
        after = page["next"]


def pages(
    daemon: Daemon, steps: Sequence[str], member: str, after: object
) -> Iterator[Any]:
    """The items of a list about rooms, page by page; ends the command on an error."""
    while after is not None:
        page = _page(daemon, steps, after=after)
        yield from page[member]
        after = page["next"]


def _page(daemon: Daemon, steps: Sequence[str], **arguments: object) -> Any:
    client = daemon.client()
    seconds = _SECONDS + MAX_WAIT_SECONDS
    try:
        return client.get("v1", "rooms", *steps, timeout=seconds, **arguments)
    except ControlError as problem:
        fail(1, str(problem))

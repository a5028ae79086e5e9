"""The commands about the events of a room: its graph, its history, what arrives.

Rules: as in `ask`.
"""

import json
from typing import Any

import click
import msgspec

from homeserver.cli.daemon import Daemon, asking_options
from homeserver.cli.options import fail
from homeserver.cli.room_memberships import ask
from homeserver.protocol.errors import printable
from homeserver.rooms.control_views import GraphEvent
from homeserver.rooms.graph_rows import DRAWN, in_rows, node_of


@click.command(short_help="Show the events of a room as a graph.")
@asking_options
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
    found = daemon.items(["rooms", room, "graph"], "events")
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
@asking_options
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
@asking_options
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

    def line(each: Any) -> str:
        event = each["event"]
        text = f"{each['event_id']} {event['type']} by {event['sender']}"
        return printable(f"{text}: {each['verdict']}")

    daemon.print_list(
        ["rooms", room, "events"],
        "events",
        json.dumps if as_json else line,
        follow=follow,
        after=after,
    )

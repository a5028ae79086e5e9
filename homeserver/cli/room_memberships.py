"""The commands that take users of a running server into rooms of other servers.

Rules: as in `ask`.
"""

import json
from typing import Any

import click

from homeserver.cli.daemon import Daemon, daemon_options
from homeserver.cli.options import fail, json_option
from homeserver.control.client import ControlError
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import printable

# Ten servers are asked at most, and a large room takes a minute of each.
_SECONDS = 600.0

_user_option = click.option(
    "--user",
    "user_id",
    metavar="USER",
    help="A user of the server; by default `@creator`.",
)
_via_option = click.option(
    "--via",
    metavar="NAME",
    multiple=True,
    help="A server that is in the room; repeatable.",
)
_reason_option = click.option("--reason", metavar="TEXT", help="That the event gives.")


@click.command(short_help="Join a room.")
@daemon_options
@json_option
@click.argument("room", metavar="ROOM")
@_user_option
@_via_option
@_reason_option
@click.option("--displayname", metavar="TEXT", help="The name of the user there.")
def join(*, daemon: Daemon, as_json: bool, room: str, **options: Any) -> None:
    """Join a room by its ID or an alias, through servers that are in it.

    \b
    Example:
      homeserver room join -c homeserver.toml '!r:beta.test' --via beta.test
    """
    joined = ask(daemon, room, "join", options)
    for each in joined["failures"]:
        click.echo(printable(each["reason"]), err=True)
    for each in joined["left_out"]:
        text = f"left out: {each['event_id']}: {each['reason']}"
        click.echo(printable(text), err=True)
    through = joined["through"]
    way = "" if through is None else f", through {through}"
    text = f"{joined['room_id']}: version {joined['room_version']}{way}"
    print(json.dumps(joined) if as_json else printable(text))


def ask(daemon: Daemon, room: str, what: str, options: dict[str, Any]) -> Any:
    """The answer to a change of a membership; ends the command on an error."""
    body: Json = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value not in (None, ())
    }
    client = daemon.client()
    try:
        return client.post("v1", "rooms", room, what, content=body, timeout=_SECONDS)
    except ControlError as problem:
        fail(1, str(problem))

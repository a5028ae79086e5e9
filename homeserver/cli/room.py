"""The commands about the rooms that a running server takes part in.

Rules: as in `ask`.
"""

import json
from collections.abc import Sequence
from typing import Any

import click

from homeserver.cli.daemon import Daemon, asking_options
from homeserver.cli.group import Group
from homeserver.cli.options import fail, given
from homeserver.cli.room_history import backfill, events, graph
from homeserver.cli.room_memberships import invite, invites, join, knock, leave
from homeserver.protocol.errors import ProtocolError, printable
from homeserver.protocol.events.room_versions import parse_room_version

_ROOMS = ("v1", "rooms")
_SECONDS = 60.0  # the state of a large room takes some


@click.group(
    cls=Group, short_help="Make and join rooms, make events in them; show them."
)
def room() -> None:
    """Make and join rooms with a running server, make events in them, and show them.

    \b
    Example:
      homeserver room create -c homeserver.toml --preset public_chat
    """


for _command in (join, knock, leave, invite, invites, graph, events, backfill):
    room.add_command(_command)


@room.command(short_help="Create a room.")
@asking_options
@click.option("--room-version", metavar="VERSION", help="By default 12.")
@click.option(
    "--preset",
    type=click.Choice(["private_chat", "trusted_private_chat", "public_chat"]),
    help="By default private_chat.",
)
@click.option("--alias", metavar="ALIAS", help="As in `#room:alpha.test`.")
@click.option("--name", metavar="TEXT", help="The name that users see.")
@click.option("--creator", metavar="USER", help="By default `@creator` of the server.")
def create(*, daemon: Daemon, as_json: bool, **options: str | None) -> None:
    """Create a room; prints its ID.

    \b
    Example:
      homeserver room create -c homeserver.toml --alias '#room:alpha.test'
    """
    version = options["room_version"]
    if version is not None:
        try:
            parse_room_version(version)
        except ProtocolError as problem:
            fail(2, f"--room-version: {problem}")
    made = daemon.client().post(*_ROOMS, content=given(options))
    print(json.dumps(made) if as_json else printable(str(made["room_id"])))


@room.command("list", short_help="List the rooms.")
@asking_options
def show(*, daemon: Daemon, as_json: bool) -> None:
    """List the rooms of the server.

    \b
    Example:
      homeserver room list -c homeserver.toml
    """
    for each in daemon.items(["rooms"], "rooms"):
        print(json.dumps(each) if as_json else printable(each["room_id"]))


@room.command(short_help="Send an event.")
@asking_options
@click.argument("room_id", metavar="ROOM")
@click.argument("event_type", metavar="TYPE")
@click.argument("content", metavar="[JSON]", default="{}")
@click.option("--state-key", metavar="KEY", help="Makes it a state event.")
@click.option("--sender", metavar="USER", help="A user of the server.")
@click.option("--redacts", metavar="EVENT", help="The event that a redaction redacts.")
@click.option(
    "--prev-event",
    "prev_events",
    metavar="EVENT",
    multiple=True,
    help="The event that it comes after; repeatable. By default the room's ends.",
)
@click.option(
    "--auth-event",
    "auth_events",
    metavar="EVENT",
    multiple=True,
    help="An event that allows it; repeatable. By default those of the rules.",
)
@click.option("--depth", type=int, metavar="NUMBER", help="Its depth.")
def send(
    *,
    daemon: Daemon,
    as_json: bool,
    room_id: str,
    event_type: str,
    content: str,
    **options: Any,
) -> None:
    """Make an event in a room, and send it to the servers of the room.

    \b
    Example:
      homeserver room send -c homeserver.toml '!r:alpha.test' m.room.topic \\
        '{"topic": "hello"}' --state-key ''
    """
    try:
        parsed = json.loads(content)
    except ValueError as problem:
        fail(2, f"the content is not JSON: {problem}")
    body = {"type": event_type, "content": parsed, **given(options)}
    sent = daemon.client().post(*_ROOMS, room_id, "events", content=body)
    text = f"{sent['event_id']}: {sent['verdict']}, {sent['reason']}"
    print(json.dumps(sent) if as_json else printable(text))


@room.command(short_help="Show the state of a room.")
@asking_options
@click.argument("room_id", metavar="ROOM")
@click.option("--at", metavar="EVENT", help="The state after this event.")
@click.option("--before", is_flag=True, help="With --at: the state before it.")
def state(
    *, daemon: Daemon, as_json: bool, room_id: str, at: str | None, before: bool
) -> None:
    """Show the state of a room, now or at an event.

    \b
    Example:
      homeserver room state -c homeserver.toml '!r:alpha.test'
    """
    if before and at is None:
        fail(2, "--before needs --at EVENT")
    chosen = {"at": at, "before": "true" if before else None}
    for each in _listed(daemon, [room_id, "state"], "state", **chosen):
        content = json.dumps(each["content"], ensure_ascii=False)
        key = f" {each['state_key']}" if each["state_key"] else ""
        text = f"{each['type']}{key}: {content}"
        print(json.dumps(each) if as_json else printable(text))


@room.command(short_help="Show the members of a room.")
@asking_options
@click.argument("room_id", metavar="ROOM")
def members(*, daemon: Daemon, as_json: bool, room_id: str) -> None:
    """Show the members of a room now, and those who were.

    \b
    Example:
      homeserver room members -c homeserver.toml '!r:alpha.test'
    """
    for each in _listed(daemon, [room_id, "members"], "members"):
        text = f"{each['user_id']}: {each['membership']}"
        print(json.dumps(each) if as_json else printable(text))


def _listed(
    daemon: Daemon, steps: Sequence[str], member: str, **arguments: object
) -> Any:
    page = daemon.client().get(*_ROOMS, *steps, timeout=_SECONDS, **arguments)
    return page[member]

"""The commands that change who is in a room, also in those of other servers.

Rules: as in `ask`.
"""

import json
from typing import Any

import click

from homeserver.cli.daemon import Daemon, asking_options
from homeserver.cli.options import given
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
@asking_options
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


@click.command(short_help="Knock at a room.")
@asking_options
@click.argument("room", metavar="ROOM")
@_user_option
@_via_option
@_reason_option
def knock(*, daemon: Daemon, as_json: bool, room: str, **options: Any) -> None:
    """Knock at a room, by its ID or an alias; an invite may be the answer.

    \b
    Example:
      homeserver room knock -c homeserver.toml '!r:beta.test' --reason 'let me in'
    """
    _show(ask(daemon, room, "knock", options), as_json=as_json)


@click.command(short_help="Leave a room, or decline an invite to it.")
@asking_options
@click.argument("room", metavar="ROOM")
@click.argument("user_id", metavar="USER")
@_via_option
@_reason_option
@click.option("--sender", metavar="USER", help="Another user, who kicks this one.")
def leave(*, daemon: Daemon, as_json: bool, room: str, **options: Any) -> None:
    """Let a user leave a room, decline an invite or take a knock back; or kick one.

    \b
    Example:
      homeserver room leave -c homeserver.toml '!r:beta.test' '@bob:alpha.test'
    """
    _show(ask(daemon, room, "leave", options), as_json=as_json)


@click.command(short_help="Invite a user to a room.")
@asking_options
@click.argument("room", metavar="ROOM")
@click.argument("user_id", metavar="USER")
@_reason_option
@click.option("--sender", metavar="USER", help="A user of the server in the room.")
def invite(*, daemon: Daemon, as_json: bool, room: str, **options: Any) -> None:
    """Invite a user, whose own server has to sign the invite as well.

    \b
    Example:
      homeserver room invite -c homeserver.toml '!r:alpha.test' '@bob:beta.test'
    """
    _show(ask(daemon, room, "invite", options), as_json=as_json)


@click.command(short_help="List the invites that wait for an answer.")
@asking_options
def invites(*, daemon: Daemon, as_json: bool) -> None:
    """List the invites of users of the server to rooms that it is not in.

    \b
    Example:
      homeserver room invites -c homeserver.toml
    """
    answer: Any = daemon.client().get("v1", "invites")
    for each in answer["invites"]:
        text = f"{each['room_id']}: {each['user_id']}, by {each['event']['sender']}"
        print(json.dumps(each) if as_json else printable(text))


def _show(changed: Any, *, as_json: bool) -> None:
    """Print an event of a membership, and what became of it."""
    text = f"{changed['event_id']}: {changed['verdict']}, {changed['reason']}"
    print(json.dumps(changed) if as_json else printable(text))


def ask(daemon: Daemon, room: str, what: str, options: dict[str, Any]) -> Any:
    """The answer to a change of a membership."""
    steps = ("v1", "rooms", room, what)
    return daemon.client().post(*steps, content=given(options), timeout=_SECONDS)

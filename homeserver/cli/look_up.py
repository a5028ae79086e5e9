"""The commands that look up another server: its routes and its keys.

Rules: as in `main`. The running daemon makes the look-up, so that the output is what it
uses; without one, the command makes the look-up itself.
"""

import json
import sys

import click
from msgspec import to_builtins

from homeserver.cli import render
from homeserver.cli.daemon import Daemon, asking_options
from homeserver.cli.options import fail, load, parsed
from homeserver.cli.times import now_ts
from homeserver.config.values import Config, ConfigError
from homeserver.control.client import ControlError
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName


@click.command(short_help="Show how a server name is resolved.")
@asking_options
@click.argument("server_name", metavar="NAME", callback=parsed(ServerName.parse))
def resolve(*, daemon: Daemon, as_json: bool, server_name: ServerName) -> None:
    """Show each step of the discovery of NAME, and the routes in their order.

    The running daemon makes the look-ups, and marks the answers that it had kept.
    Without one, the command makes them itself.

    \b
    Example:
      homeserver resolve -c homeserver.toml matrix.org
    """
    from homeserver.app import look_up  # noqa: PLC0415 - as in `main`

    try:
        result = _ask_daemon(daemon, "resolve", server_name)
        if result is None:
            result = to_builtins(
                look_up.resolve(daemon.path, load(daemon.path), server_name)
            )
    except ConfigError as problem:
        fail(2, str(problem))
    print(json.dumps(result) if as_json else render.resolution(result, now_ts()))
    if "error" in result:
        is_resolved = "routes" in result
        why = "" if is_resolved else f"{server_name} cannot be resolved: "
        fail(1, f"{why}{result['error']}")


@click.command(short_help="Fetch and check a server's key documents.")
@asking_options
@click.option(
    "--v2-only",
    is_flag=True,
    help="Ask for version 2 alone. Version 1 is then asked for only to verify a peer "
    "that its certificate does not prove.",
)
@click.argument("server_name", metavar="NAME", callback=parsed(ServerName.parse))
def keys(
    *, daemon: Daemon, as_json: bool, v2_only: bool, server_name: ServerName
) -> None:
    """Fetch the key documents of NAME, and say what was checked and found.

    The running daemon fetches them, and shows its kept data about NAME. Without one,
    the command fetches them itself. It exits with 1 if a check failed.

    \b
    Example:
      homeserver keys -c homeserver.toml matrix.org
    """
    from homeserver.app import look_up  # noqa: PLC0415 - as in `main`

    try:
        result = _ask_daemon(
            daemon, "keys", server_name, v2_only="true" if v2_only else None
        )
        if result is None:
            config = load(daemon.path)
            ours = _ours(config, daemon.server)
            result = to_builtins(
                look_up.keys(daemon.path, config, ours, server_name, v2_only=v2_only)
            )
    except ConfigError as problem:
        fail(2, str(problem))
    if as_json:
        print(json.dumps(result))
    if "error" in result:
        for line in [] if as_json else render.failure(result, now_ts()):
            print(line)
        fail(1, str(result["error"]))
    if not as_json:
        print(render.keys(result, now_ts()))
    if any(part is not None and part["problems"] for part in render.documents(result)):
        fail(1, f"{server_name} serves an invalid key document")


def _ours(config: Config, server: ServerName | None) -> ServerName:
    """The server that makes the look-up: the named one, or the first."""
    if server is None:
        return config.first.server_name
    if config.find(server) is None:
        names = ", ".join(each.server_name.name for each in config.servers)
        fail(2, f"--server: {server} is not a server here; there is {names}")
    return server


# A look-up waits for name servers and servers, each within a limit of its own.
_LOOK_UP_SECONDS = 90.0


def _ask_daemon(
    daemon: Daemon, route: str, server_name: ServerName, **arguments: object
) -> Json | None:
    """The running daemon's answer about a server; None, with a note, if none runs.

    A daemon at that address that does not accept the token is another endpoint's. One
    that is named by its URL must run.
    """
    try:
        return daemon.find().get(
            "v1", route, server_name.name, timeout=_LOOK_UP_SECONDS, **arguments
        )
    except ControlError as problem:
        if daemon.url is not None or problem.status not in {None, 401}:
            raise
        print(f"asked without a daemon: {problem}", file=sys.stderr)
        return None

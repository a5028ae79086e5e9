"""The commands.

Rules: results go to standard output, errors to standard error as one line that says
what to do. Exit status 1 is a failure of the operation, 2 a mistake of the caller. With
`--json`, one JSON object a line. Each command imports what only it needs: loading
Twisted takes longer than a request to the daemon.
"""

import gc
import json
import os
import sys
from importlib.resources import files
from pathlib import Path

import click
from msgspec import to_builtins

from homeserver import __version__
from homeserver.cli.options import (
    config_option,
    fail,
    json_option,
    load,
    new_endpoint_options,
    parsed,
)
from homeserver.config.values import Config, ConfigError
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName

# Those that ask the daemon; it does not load them, nor what they need.
_QUESTIONS = ("send", "received", "refused", "peers", "health")


class _InOrderOfUse(click.Group):
    """Commands, listed in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["init", "run", *_QUESTIONS, "resolve", "keys", "explain", "config"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "explain":
            from homeserver.cli.explain import explain  # noqa: PLC0415 - see above

            return explain
        if cmd_name not in _QUESTIONS:
            return super().get_command(ctx, cmd_name)
        if cmd_name == "send":
            from homeserver.cli.send import send  # noqa: PLC0415 - see above

            return send
        from homeserver.cli import ask  # noqa: PLC0415 - see above

        command: click.Command = getattr(ask, cmd_name)
        return command


@click.group(
    cls=_InOrderOfUse, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="homeserver")
def main() -> None:
    """A minimal reference homeserver federation endpoint for Matrix.

    A peer to test other homeservers against: it finds servers, verifies them, and
    exchanges signed transactions with them. COMMAND --help says more of each.

    \b
    Example:
      homeserver init --server-name alpha.test /var/lib/alpha
      homeserver run -c /var/lib/alpha/homeserver.toml
    """


@main.command(short_help="Write the files of a new endpoint.")
@click.argument(
    "folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path)
)
@click.option(
    "--server-name",
    metavar="NAME",
    required=True,
    callback=parsed(ServerName.parse),
    help="What the server is called: a DNS name or an IP address, and maybe a port.",
)
@new_endpoint_options
def init(
    folder: Path,
    server_name: ServerName,
    listen: SocketAddress,
    control: SocketAddress,
    control_hosts: tuple[str, ...],
    allow: tuple[AddressRange, ...],
) -> None:
    """Write the files of a new endpoint into DIR; nothing is ever overwritten.

    They are a configuration, a signing key, a self-signed certificate with its key, and
    the token for the control API.

    \b
    Example:
      homeserver init --server-name alpha.test /var/lib/alpha
    """
    from homeserver.identity import new_endpoint  # noqa: PLC0415 - see above

    try:
        paths = new_endpoint.create(
            folder,
            new_endpoint.Settings(server_name, listen, control, allow, control_hosts),
        )
    except FileExistsError as problem:
        fail(2, f"{problem}; choose another folder, or remove the file")
    except OSError as problem:
        fail(2, f"{folder} cannot be written: {problem.strerror}")
    for path in paths:
        print(path)


@main.command(short_help="Run the endpoint in the foreground.")
@config_option
@click.option(
    "--server-name",
    envvar="HOMESERVER_SERVER_NAME",
    show_envvar=True,
    callback=parsed(ServerName.parse),
    metavar="NAME",
    help="What the server is called. Where FILE is missing, it is made for this name "
    "first, and what it needs beside it: keys, certificate, token.",
)
@new_endpoint_options
def run(
    path: Path,
    server_name: ServerName | None,
    listen: SocketAddress,
    control: SocketAddress,
    control_hosts: tuple[str, ...],
    allow: tuple[AddressRange, ...],
) -> None:
    """Run the endpoint in the foreground, until SIGTERM or SIGINT.

    It prints a line `listening: NAME on HOST:PORT` when it accepts connections, and
    its log to standard error. SIGHUP reloads the signing keys and the certificate.

    The options beside FILE are for the first start, that of a container for example.
    Once FILE is there, it alone is read, and nothing is ever overwritten.

    \b
    Example:
      homeserver run -c /var/lib/alpha/homeserver.toml
    """
    # Loading makes no garbage, but would start the collector a hundred times.
    gc.disable()
    from homeserver.app import run  # noqa: PLC0415 - see above
    from homeserver.identity import new_endpoint  # noqa: PLC0415 - see above
    from homeserver.monitoring import log  # noqa: PLC0415 - see above

    if server_name is not None and not os.path.lexists(path):
        if path.name != "homeserver.toml":
            fail(2, f"{path}: cannot be made; a new one is called homeserver.toml")
        settings = new_endpoint.Settings(
            server_name, listen, control, allow, control_hosts
        )
        try:
            made = new_endpoint.complete(path.parent, settings)
        except OSError as problem:
            fail(2, f"{path.parent} cannot be written: {problem.strerror}")
        names = ", ".join(each.name for each in made)
        print(f"new endpoint {server_name}: made {names}", file=sys.stderr)
    config = load(path)
    if server_name not in {None, config.server_name}:
        fail(
            2,
            f"{path}: server_name is {config.server_name}, not {server_name}; "
            "another name needs another folder",
        )
    log.begin(config.log, sys.stderr)
    try:
        run.run(path, config)
    except ConfigError as problem:
        fail(2, str(problem))


@main.command(short_help="Print a configuration with every key explained.")
def config() -> None:
    """Print a configuration with every key, its default and what it means.

    \b
    Example:
      homeserver config > homeserver.toml
    """
    sample = files("homeserver.config") / "sample.toml"
    print(sample.read_text("utf-8"), end="")


@main.command(short_help="Show how a server name is resolved.")
@config_option
@json_option
@click.argument("server_name", metavar="NAME", callback=parsed(ServerName.parse))
def resolve(path: Path, as_json: bool, server_name: ServerName) -> None:  # noqa: FBT001
    """Show each step of discovering NAME, and the routes in the order of trying.

    The running daemon is asked, which marks the answers that it kept from before. Where
    none runs, NAME is resolved without it.

    \b
    Example:
      homeserver resolve -c homeserver.toml matrix.org
    """
    from homeserver.app import run  # noqa: PLC0415 - see above
    from homeserver.cli import render  # noqa: PLC0415 - see above

    config = load(path)
    try:
        result = _ask_daemon(path, config, "resolve", server_name)
        if result is None:
            result = to_builtins(run.resolve(path, config, server_name))
    except ConfigError as problem:
        fail(2, str(problem))
    print(json.dumps(result) if as_json else render.resolution(result))
    if "error" in result:
        fail(1, f"{server_name} cannot be resolved: {result['error']}")


@main.command(short_help="Fetch and check a server's key documents.")
@config_option
@json_option
@click.option(
    "--v2-only",
    is_flag=True,
    help="Ask for version 2 alone. Version 1 is then asked for only to verify a peer "
    "that its certificate does not prove.",
)
@click.argument("server_name", metavar="NAME", callback=parsed(ServerName.parse))
def keys(*, path: Path, as_json: bool, v2_only: bool, server_name: ServerName) -> None:
    """Fetch the key documents of NAME, and say what was checked and found.

    The running daemon fetches them, and shows what it remembered of NAME. Where none
    runs, they are fetched without it. It ends with 1 where a check failed.

    \b
    Example:
      homeserver keys -c homeserver.toml matrix.org
    """
    from homeserver.app import run  # noqa: PLC0415 - see above
    from homeserver.cli import render  # noqa: PLC0415 - see above

    config = load(path)
    try:
        result = _ask_daemon(
            path, config, "keys", server_name, v2_only="true" if v2_only else None
        )
        if result is None:
            result = to_builtins(run.keys(path, config, server_name, v2_only=v2_only))
    except ConfigError as problem:
        fail(2, str(problem))
    if as_json:
        print(json.dumps(result))
    if "error" in result:
        for line in [] if as_json else render.failure(result):
            print(line)
        fail(1, str(result["error"]))
    if not as_json:
        print(render.keys(result))
    if any(part is not None and part["problems"] for part in render.documents(result)):
        fail(1, f"{server_name} serves an invalid key document")


# For name servers and servers that do not answer; each of them has a limit of its own.
_LOOK_UP_SECONDS = 90.0


def _ask_daemon(
    path: Path,
    config: Config,
    route: str,
    server_name: ServerName,
    **arguments: object,
) -> Json | None:
    """What the running daemon knows of a server; None, with a note, if none runs.

    A daemon at that address that does not know the token is another endpoint's.
    """
    from homeserver.control.client import (  # noqa: PLC0415 - as above
        ControlClient,
        ControlError,
    )

    try:
        client = ControlClient(path, config)
        return client.get(
            "v1", route, server_name.name, timeout=_LOOK_UP_SECONDS, **arguments
        )
    except ControlError as problem:
        if problem.status not in {None, 401}:
            fail(1, str(problem))
        print(f"asked without a daemon: {problem}", file=sys.stderr)
        return None

"""The commands.

Rules: results go to standard output, errors to standard error as one line that says
what to do. Exit status 1 is a failure of the operation, 2 a mistake of the caller. With
`--json`, one JSON object a line. Each command imports what only it needs: loading
Twisted takes longer than a request to the daemon.
"""

import gc
import os
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from homeserver import __version__
from homeserver.cli.ending import written_output
from homeserver.cli.group import Group, with_types
from homeserver.cli.options import (
    config_option,
    fail,
    load,
    new_endpoint_options,
    parsed,
)
from homeserver.config.values import Config, ConfigError
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.identifiers import ServerName

# The commands that the daemon does not load, with their modules.
_MODULES = {
    "send": "send",
    "received": "ask",
    "refused": "ask",
    "peers": "ask",
    "report": "report",
    "health": "ask",
    "resolve": "look_up",
    "keys": "look_up",
    "explain": "explain",
    "conform": "conform",
    "lab": "lab",
    "servers": "lab_ask",
    "exchanges": "lab_ask",
    "fault": "lab_fault",
    "room": "room",
    "man": "man",
}


class _InOrderOfUse(Group):
    """Commands, listed in the order of their use."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        with written_output():
            return super().main(*arguments, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["init", "run", *_MODULES, "config"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"homeserver.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return with_types(command)


@click.group(
    cls=_InOrderOfUse, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="homeserver")
def main() -> None:
    """A minimal reference homeserver federation endpoint for Matrix.

    A peer to test other homeservers against: it finds servers, verifies them, and
    exchanges signed transactions with them. COMMAND --help explains each command.

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
    listen: SocketAddress | None,
    control: SocketAddress,
    control_hosts: tuple[str, ...],
    allow: tuple[AddressRange, ...],
) -> None:
    """Write the files of a new endpoint into DIR; no file is ever overwritten.

    They are a configuration, a signing key, a self-signed certificate with its key, and
    the token for the control API.

    \b
    Example:
      homeserver init --server-name alpha.test /var/lib/alpha
    """
    from homeserver.identity import new_endpoint  # noqa: PLC0415 - see above

    where = listen or new_endpoint.listen_for(server_name)
    settings = new_endpoint.Settings(server_name, where, control, allow, control_hosts)
    try:
        paths = new_endpoint.create(folder, settings)
    except FileExistsError as problem:
        fail(2, f"{problem}; choose another folder, or remove the file")
    except OSError as problem:
        fail(2, f"{folder} cannot be written: {problem.strerror}")
    for path in paths:
        print(path)
    if server_name.port not in {None, where.port}:
        print(
            f"note: other servers connect to port {server_name.port}, as the name "
            f"says, and --listen says {where.port}",
            file=sys.stderr,
        )
    print(f"next: homeserver run -c {paths[0]}")


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
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Processes on the same ports and the same store, in place of `workers` in "
    "[run].",
)
@new_endpoint_options
def run(  # noqa: PLR0913, PLR0917 - the options in their order
    path: Path,
    server_name: ServerName | None,
    workers: int | None,
    listen: SocketAddress | None,
    control: SocketAddress,
    control_hosts: tuple[str, ...],
    allow: tuple[AddressRange, ...],
) -> None:
    """Run the endpoint in the foreground, until SIGTERM or SIGINT.

    It prints a line `listening: NAME on HOST:PORT` when it accepts connections, and
    its log to standard error. SIGHUP reloads the signing keys and the certificate.

    The options beside FILE are for the first start, that of a container for example.
    If FILE exists, only FILE is read. No file is ever overwritten.

    \b
    Example:
      homeserver run -c /var/lib/alpha/homeserver.toml
    """
    # Loading makes no garbage, but would start the collector a hundred times.
    gc.disable()
    from homeserver.identity import new_endpoint  # noqa: PLC0415 - see above
    from homeserver.monitoring import log  # noqa: PLC0415 - see above

    if server_name is not None and not os.path.lexists(path):
        if path.name != "homeserver.toml":
            fail(2, f"{path}: cannot be made; a new one is called homeserver.toml")
        where = listen or new_endpoint.listen_for(server_name)
        settings = new_endpoint.Settings(
            server_name, where, control, allow, control_hosts
        )
        try:
            made = new_endpoint.complete(path.parent, settings)
        except OSError as problem:
            fail(2, f"{path.parent} cannot be written: {problem.strerror}")
        names = ", ".join(each.name for each in made)
        print(f"new endpoint {server_name}: made {names}", file=sys.stderr)
    config = load(path)
    if server_name is not None and config.find(server_name) is None:
        names = ", ".join(server.server_name.name for server in config.servers)
        fail(
            2,
            f"{path}: server_name is {names}, not {server_name}; "
            "another name needs another folder",
        )
    log.begin(config.log, sys.stderr)
    try:
        _run(path, config, workers or config.run.workers)
    except ConfigError as problem:
        fail(2, str(problem))


def _run(path: Path, config: Config, workers: int) -> None:
    """Run one process or several; raises `ConfigError`."""
    if workers > 1:
        if config.lab.rules:
            why = "lab.rules: needs one worker, as rules are those of a process"
            raise ConfigError(path, [why])
        from homeserver.app import supervisor  # noqa: PLC0415 - see above

        sys.exit(supervisor.run(path, config, workers))
    from homeserver.app import run  # noqa: PLC0415 - see above

    extend = None
    if config.lab.rules:
        from homeserver.lab.daemon import DaemonRules  # noqa: PLC0415 - see above

        extend = DaemonRules
    run.run(path, config, extend=extend)


@main.command(short_help="Print a configuration with every key explained.")
def config() -> None:
    """Print a configuration with every key, its default and what it means.

    \b
    Example:
      homeserver config > homeserver.toml
    """
    sample = files("homeserver.config") / "sample.toml"
    print(sample.read_text("utf-8"), end="")

"""The commands.

Rules of the room: results go to standard output, errors to standard error as one line
that says what to do. Exit status 1 is a no of the world, 2 a mistake of the caller's.
With `--json`, one JSON object a line.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

import click

from homeserver import __version__, daemon, directory, display, logs
from homeserver import config as configuration
from homeserver.addresses import SocketAddress
from homeserver.config import Config, ConfigError
from homeserver.control.api import MAX_WAIT_SECONDS
from homeserver.control.client import ControlClient, ControlError
from homeserver.protocol.canonical import (
    Json,
    as_list,
    as_object,
    parse,
    parse_object,
)
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.names import ServerName

_config_option = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("homeserver.toml"),
    show_default=True,
    metavar="FILE",
    help="The configuration of the endpoint.",
)
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of text."
)


def _parsed(parse_text: Callable[[str], object]) -> Callable[..., object]:
    """A click callback that reads an argument, or exits with what is wrong with it."""

    def callback(_: click.Context, __: click.Parameter, value: str | None) -> object:
        try:
            return None if value is None else parse_text(value)
        except (ValueError, ProtocolError) as problem:
            _fail(2, str(problem))

    return callback


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="homeserver")
def main() -> None:
    """A minimal reference homeserver federation endpoint for Matrix."""


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--server-name",
    required=True,
    callback=_parsed(ServerName.parse),
    help="What the server is called: a DNS name or an IP address, and maybe a port.",
)
@click.option(
    "--listen",
    default="0.0.0.0:8448",
    show_default=True,
    callback=_parsed(SocketAddress.parse),
    help="Where other servers connect to.",
)
@click.option(
    "--control",
    default="127.0.0.1:8008",
    show_default=True,
    callback=_parsed(SocketAddress.parse),
    help="Where the control API listens.",
)
def init(
    folder: Path, server_name: ServerName, listen: SocketAddress, control: SocketAddress
) -> None:
    """Write the files of a new endpoint into DIR; nothing is ever overwritten.

    Example: homeserver init --server-name alpha.test /var/lib/alpha
    """
    try:
        paths = directory.create(folder, server_name, listen, control)
    except FileExistsError as problem:
        _fail(2, f"{problem}; choose another folder, or take the file away")
    except OSError as problem:
        _fail(2, f"{folder} cannot be written: {problem.strerror}")
    for path in paths:
        print(path)


@main.command()
@_config_option
def run(path: Path) -> None:
    """Run the endpoint in the foreground, until SIGTERM or SIGINT.

    SIGHUP reloads the signing keys and the certificate.

    Example: homeserver run -c /var/lib/alpha/homeserver.toml
    """
    config = _load(path)
    logs.begin(config.log, sys.stderr)
    try:
        daemon.run(path, config)
    except ConfigError as problem:
        _fail(2, str(problem))


@main.command()
@_config_option
@_json_option
@click.argument("server_name", metavar="NAME", callback=_parsed(ServerName.parse))
def resolve(path: Path, as_json: bool, server_name: ServerName) -> None:  # noqa: FBT001
    """Show each step of discovering NAME, and the routes in the order of trying.

    Example: homeserver resolve -c homeserver.toml matrix.org
    """
    result = daemon.resolve(_load(path), server_name)
    print(json.dumps(result) if as_json else display.resolution(result))
    if "error" in result:
        _fail(1, f"{server_name} cannot be resolved: {result['error']}")


@main.command()
@_config_option
@_json_option
@click.argument("destination", metavar="DEST", callback=_parsed(ServerName.parse))
@click.option("--pdu", "pdus", multiple=True, metavar="JSON", help="A PDU to send.")
@click.option("--edu", "edus", multiple=True, metavar="JSON", help="An EDU to send.")
@click.option(
    "--transaction",
    "file",
    type=click.File("rb"),
    metavar="FILE",
    help='A JSON object {"pdus": [...], "edus": [...]} to send ("-": standard input).',
)
@click.option(
    "--room-version", default="12", show_default=True, help="Of PDUs to be signed."
)
@click.option(
    "--timeout", type=float, default=30.0, show_default=True, metavar="SECONDS"
)
def send(  # noqa: PLR0913 - its options are its arguments
    *,
    path: Path,
    as_json: bool,
    destination: ServerName,
    pdus: tuple[str, ...],
    edus: tuple[str, ...],
    file: BinaryIO | None,
    room_version: str,
    timeout: float,
) -> None:
    """Hand a transaction to the running daemon and wait for its delivery to DEST.

    A PDU without `signatures` is hashed and signed.

    Example: homeserver send -c homeserver.toml beta.test --edu
    '{"edu_type": "m.typing", "content": {}}'
    """
    try:
        content = {} if file is None else parse_object(file.read())
        content = {
            "pdus": [
                *as_list(content.get("pdus", []), "`pdus`"),
                *(parse(text.encode()) for text in pdus),
            ],
            "edus": [
                *as_list(content.get("edus", []), "`edus`"),
                *(parse(text.encode()) for text in edus),
            ],
            "room_version": room_version,
        }
    except ProtocolError as problem:
        _fail(2, str(problem))
    client = _client(path)
    try:
        entry = client.post("v1", "send", destination.name, content=content)
        state = _wait_for_delivery(client, destination, str(entry["id"]), timeout)
    except ControlError as problem:
        _fail(2 if problem.status == 400 else 1, str(problem))
    if as_json:
        print(json.dumps(state))
    elif state["state"] == "delivered":
        print(f"delivered: {state['txn_id']}")
        print(json.dumps(state["reply"]))
    if state["state"] != "delivered":
        why = state["error"] or "no attempt has ended yet"
        _fail(1, f"not delivered yet, it stays queued: {why}")


@main.command()
@_config_option
@_json_option
@click.option("--origin", callback=_parsed(ServerName.parse), help="Only of this one.")
@click.option("--follow", is_flag=True, help="Wait for more, until interrupted.")
def received(
    *, path: Path, as_json: bool, origin: ServerName | None, follow: bool
) -> None:
    """Show what the running daemon has received, newest last.

    Example: homeserver received -c homeserver.toml --origin beta.test --follow
    """
    client = _client(path)
    show = json.dumps if as_json else display.received
    after: object = 0
    try:
        while True:
            page = client.get(
                "v1",
                "received",
                timeout=MAX_WAIT_SECONDS + 10,
                after=after,
                origin=origin,
                wait=MAX_WAIT_SECONDS if follow else 0,
            )
            transactions = as_list(page["transactions"], "`transactions`")
            for transaction in transactions:
                print(show(as_object(transaction, "a transaction")), flush=True)
            if not transactions and not follow:
                return
            after = page["next"]
    except ControlError as problem:
        _fail(1, str(problem))
    except KeyboardInterrupt:
        return


def _wait_for_delivery(
    client: ControlClient, destination: ServerName, entry: str, seconds: float
) -> Json:
    """The entry's state once it is delivered, or when `seconds` are over."""
    deadline = time.monotonic() + seconds
    while True:
        left = max(0.0, min(deadline - time.monotonic(), MAX_WAIT_SECONDS))
        state = client.get(
            "v1", "send", destination.name, entry, timeout=left + 10, wait=left
        )
        if state["state"] == "delivered" or time.monotonic() >= deadline:
            return state


def _load(path: Path) -> Config:
    try:
        return configuration.load(path)
    except ConfigError as problem:
        _fail(2, str(problem))


def _client(path: Path) -> ControlClient:
    try:
        return ControlClient(path, _load(path))
    except ControlError as problem:
        _fail(2, str(problem))


def _fail(status: int, why: str) -> NoReturn:
    print(why, file=sys.stderr)
    sys.exit(status)

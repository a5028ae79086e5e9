"""The options and the exit that the commands share.

Rules: a mistake of the caller is one line on standard error (one for each mistake of a
configuration) and exit status 2. A failed operation is exit status 1.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import click
from msgspec import ValidationError, convert

from homeserver.config import reader
from homeserver.config.values import Config, ConfigError, HostName
from homeserver.lab.options import DEFAULT_ZONE
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.net.system_errors import in_words
from homeserver.protocol.errors import ProtocolError, printable
from homeserver.protocol.identifiers import ServerName

config_option = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("homeserver.toml"),
    show_default=True,
    metavar="FILE",
    help="The configuration of the endpoint.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of text."
)


def parsed(parse_text: Callable[[str], object]) -> Callable[..., object]:
    """A click callback that parses an argument, or exits with its mistake.

    Of an option with several values, it parses each.
    """

    def callback(
        context: click.Context,
        parameter: click.Parameter,
        value: str | tuple[str, ...] | None,
    ) -> object:
        if value is None or context.resilient_parsing:
            return None  # while the shell completes the line, no argument is checked
        try:
            if isinstance(value, tuple):
                return tuple(parse_text(each) for each in value)
            return parse_text(value)
        except (ValueError, ProtocolError) as problem:
            # An option may come from the environment, so its source is named.
            is_option = isinstance(parameter, click.Option)
            where = f"{parameter.opts[0]}: " if is_option else ""
            fail(2, f"{where}{problem}")

    return callback


def server_option(flag: str, text: str) -> Callable[..., Any]:
    """An option that names another server; `text` is its help."""
    return click.option(
        flag, metavar="NAME", callback=parsed(ServerName.parse), help=text
    )


follow_option = click.option(
    "--follow", is_flag=True, help="Wait for more, until interrupted."
)


def parsed_entry(
    context: click.Context, parameter: click.Parameter, value: tuple[str, str] | None
) -> object:
    """A click callback that parses a server's name and the ID of a queue entry.

    The ID is that which `send` printed.
    """
    if value is None or context.resilient_parsing:
        return None
    name, own_id = value
    return (
        parsed(ServerName.parse)(context, parameter, name),
        parsed(parse_queue_id)(context, parameter, own_id),
    )


def parse_queue_id(text: str) -> str:
    """The ID of a queue entry, as `send` prints it; raises `ValueError`."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is no ID of a queued entry")
    return text


def parse_host_name(text: str) -> str:
    """A host name without a port; raises `ValueError`."""
    try:
        return convert(text, HostName)
    except ValidationError:
        raise ValueError(f"{text!r} is no host name without a port") from None


def new_endpoint_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options with which the files of a new endpoint are made."""
    options = [
        click.option(
            "--listen",
            envvar="HOMESERVER_LISTEN",
            show_envvar=True,
            callback=parsed(SocketAddress.parse),
            metavar="HOST:PORT",
            help="Address and port for other servers.  [default: every address, and "
            "the port of NAME or 8448]",
        ),
        click.option(
            "--control",
            envvar="HOMESERVER_CONTROL",
            show_envvar=True,
            default="127.0.0.1:8008",
            show_default=True,
            callback=parsed(SocketAddress.parse),
            metavar="HOST:PORT",
            help="Address and port of the control API.",
        ),
        click.option(
            "--control-host",
            "control_hosts",
            envvar="HOMESERVER_CONTROL_HOST",
            show_envvar=True,
            multiple=True,
            callback=parsed(parse_host_name),
            metavar="NAME",
            help="A name by which the control API is reached, beside addresses and "
            "localhost; may be given again.",
        ),
        click.option(
            "--allow",
            envvar="HOMESERVER_ALLOW",
            show_envvar=True,
            multiple=True,
            callback=parsed(AddressRange.parse),
            metavar="RANGE",
            help="Addresses to connect to although they are private, for a test "
            "network: 10.0.0.0/8. More than once: several ranges.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def address_option(name: str, default: str, text: str) -> Callable[..., Any]:
    """An address of ours with a port, with a default."""
    return click.option(
        name,
        default=default,
        show_default=True,
        callback=parsed(SocketAddress.parse),
        metavar="HOST:PORT",
        help=text,
    )


zone_option = click.option(
    "--zone",
    default=DEFAULT_ZONE,
    show_default=True,
    metavar="NAME",
    help="Below which servers get their names.",
)

allow_option = click.option(
    "--allow",
    multiple=True,
    callback=parsed(AddressRange.parse),
    metavar="RANGE",
    help="Addresses to connect to although they are private; by default loopback and "
    "all private ranges. May be given again.",
)
"""Of a process that has no configuration."""


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as JSON has them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value not in (None, ())
    }


def read_file(file: BinaryIO, most: int = -1) -> bytes:
    """The bytes of an opened file, at most some, or exit with what prevents it."""
    try:
        return file.read(most)
    except OSError as problem:
        fail(2, f"{printable(file.name)} cannot be read: {in_words(problem)}")


def load(path: Path, *, reads_files: bool = True) -> Config:
    """Read a configuration, or exit with its mistakes; as `reader.load`."""
    try:
        return reader.load(path, reads_files=reads_files)
    except ConfigError as problem:
        fail(2, str(problem))


def fail(status: int, why: str) -> NoReturn:
    """End the command."""
    print(why, file=sys.stderr)
    sys.exit(status)

"""What the commands share: their options, and how they end.

Rules of the room: a mistake is one line on standard error (a configuration's: one for
each), and exit status 2; a no of the world is exit status 1.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from homeserver import config_file
from homeserver.config import Config, ConfigError
from homeserver.protocol.errors import ProtocolError

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
    """A click callback that reads an argument, or exits with what is wrong with it."""

    def callback(
        context: click.Context, _: click.Parameter, value: str | None
    ) -> object:
        if value is None or context.resilient_parsing:
            return None  # the shell asks what may come next, not whether this is right
        try:
            return parse_text(value)
        except (ValueError, ProtocolError) as problem:
            fail(2, str(problem))

    return callback


def load(path: Path) -> Config:
    """Read a configuration, or end with its mistakes."""
    try:
        return config_file.load(path)
    except ConfigError as problem:
        fail(2, str(problem))


def fail(status: int, why: str) -> NoReturn:
    """End the command."""
    print(why, file=sys.stderr)
    sys.exit(status)

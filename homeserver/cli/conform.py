"""The command that checks another homeserver.

Rules: as in `main`. The report goes to standard output or a file; the progress of the
checks goes to standard error. Exit status 0 without a failure, 1 with one, 2 for a
mistake of the caller, 3 where the target is not reached or gone, 130 where the run was
interrupted.
"""

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from homeserver.cli.options import (
    address_option,
    allow_option,
    fail,
    parsed,
    zone_option,
)
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import (
    ServerName,
    UserId,
    parse_alias,
    parse_room_id,
)

FORMATS = ("text", "json", "junit", "tap", "html", "markdown")


def _parse_room(text: str) -> str:
    """A room's ID or alias; raises `InvalidParam`."""
    if text.startswith("#"):
        parse_alias(text)
    else:
        parse_room_id(text)
    return text


def _parse_user(text: str) -> str:
    """A user's ID; raises `InvalidParam`."""
    return UserId.parse(text).user_id


@click.command(short_help="Check what another homeserver does right and wrong.")
@click.argument(
    "target", metavar="TARGET", required=False, callback=parsed(ServerName.parse)
)
@click.option(
    "--target-address",
    callback=parsed(SocketAddress.parse),
    metavar="HOST:PORT",
    help="Where TARGET is, in place of what discovery finds.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="An ID, an area, a pattern such as D1*, or a part of a section's name. May "
    "be given again.",
)
@click.option("--skip", multiple=True, metavar="PATTERN", help="As --only.")
@click.option(
    "--room",
    "rooms",
    multiple=True,
    callback=parsed(_parse_room),
    metavar="ID_OR_ALIAS",
    help="A public room of the target. May be given again, for other room versions.",
)
@click.option(
    "--user",
    "users",
    multiple=True,
    callback=parsed(_parse_user),
    metavar="USER_ID",
    help="A user of the target. May be given again.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="For a person, for programs, for CI systems, or for a page.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report there, in place of standard output.",
)
@click.option(
    "--setup",
    type=click.UNPROCESSED,  # it may have names of files, which are any bytes
    metavar="COMMAND",
    help="Makes users and rooms of the target: it gets JSON such as "
    '{"need": "room", "version": "10"} on standard input, and answers JSON. '
    "conf/conform has some.",
)
@click.option(
    "--polite/--no-polite",
    "is_polite",
    default=None,
    help="Make five requests a second at most, and none that could do harm.  "
    "[default: polite to a public address]",
)
@click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="An earlier report in JSON; only what became worse counts as a failure.",
)
@address_option(
    "--listen",
    "127.0.0.1:0",
    "Where our servers listen; the target has to reach it.",
)
@address_option("--dns", "127.0.0.1:0", "Where our name server listens.")
@zone_option
@allow_option
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep our certificate authority here, so that the target trusts it in the "
    "next run, too.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=6,
    show_default=True,
    help="How many checks run at once.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="When a check is given up; by default each has its own limit.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--explain", metavar="ID", help="Explain one check and do nothing.")
@click.option(
    "--list",
    "lists",
    is_flag=True,
    help="List the checks, those of --only and --skip, and do nothing.",
)
def conform(
    *,
    target: ServerName | None,
    form: str,
    as_json: bool,
    output: Path | None,
    explain: str | None,
    lists: bool,
    **told: Any,
) -> None:
    """Check what TARGET, a homeserver, does right and wrong, by federation alone.

    It makes servers of its own, each a test case, sends requests in their names, and
    watches how TARGET finds, verifies and answers them. First it looks what can be
    tested, and says what to configure so that more can be.

    \b
    Example:
      homeserver conform localhost:8448 --only M --data ~/.conform
    """
    if explain is not None or lists:
        _show(explain, told["only"], told["skip"])
        return
    if target is None:
        fail(2, "TARGET is missing: the name of a homeserver")
    if output is not None:
        _check_can_be_written(output)
    # As `run` does: loading makes no garbage.
    gc.disable()
    from homeserver.cli import conform_run  # noqa: PLC0415 - see `main`

    gc.enable()
    text, status = conform_run.run(target, "json" if as_json else form, **told)
    if text is not None:
        _write(text, output)
    sys.exit(status)


def _show(explain: str | None, only: Sequence[str], skip: Sequence[str]) -> None:
    from homeserver.cli import conform_list  # noqa: PLC0415 - see `main`

    if explain is None:
        print(conform_list.table(only, skip))
    else:
        print(conform_list.explain(explain))


def _check_can_be_written(output: Path) -> None:
    """End the command if the report could not be written: a run takes minutes."""
    if not output.parent.is_dir():
        fail(2, f"--output {output}: there is no folder {output.parent}")
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        fail(2, f"--output {output}: it may not be written")


def _write(text: str, output: Path | None) -> None:
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", "utf-8")
    except OSError as problem:
        fail(2, f"--output {output}: {problem.strerror}")

"""The command that reports how a server behaved.

Rules: as in `ask`. The daemon makes the report; the command writes it in a format.
"""

import json
import sys

import click

from homeserver.cli.daemon import Daemon, daemon_options
from homeserver.cli.options import parsed
from homeserver.cli.report_formats import FORMATS, Report
from homeserver.protocol.identifiers import ServerName

_SECONDS = 60.0  # the hints of refused requests may still have to be found


@click.command(short_help="Report how a server behaved towards ours.")
@daemon_options
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, "json"]),
    default="text",
    show_default=True,
    help="For a person, for CI systems, or for programs.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.argument("server_name", metavar="NAME", callback=parsed(ServerName.parse))
def report(
    *, daemon: Daemon, form: str, as_json: bool, server_name: ServerName
) -> None:
    """Report all that is known of how NAME behaved towards ours.

    Verification, keys, transactions, events, refused requests with the first example
    and its hint, and how transactions were repeated. NAME is not asked. It ends with 1
    where anything is wrong, or nothing is known.

    \b
    Example:
      homeserver report -c homeserver.toml beta.test --format junit
    """
    found: Report = daemon.client().get(
        "v1", "peers", server_name.name, "report", timeout=_SECONDS
    )
    is_json = as_json or form == "json"
    if not is_json:
        # As part of the name, so that two checks of a test report differ.
        for check in found["checks"]:
            check["name"] += f" [{check['server']}]" if "server" in check else ""
    print(json.dumps(found) if is_json else FORMATS[form](found))
    if found["is_wrong"] or not found["checks"]:
        sys.exit(1)

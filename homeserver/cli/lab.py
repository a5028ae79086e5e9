"""The command that runs a lab.

Rules: as in `main`. The first line on standard output says where everything is.
"""

import gc
import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from homeserver.cli.options import (
    address_option,
    allow_option,
    fail,
    json_option,
    parse_host_name,
    parsed,
    zone_option,
)
from homeserver.net.addresses import AddressRange, SocketAddress

_TOKEN_VARIABLE = "HOMESERVER_LAB_TOKEN"  # noqa: S105 - its name

_TEXT = """\
control: {control}
token: {token}
listen: {listen}
dns: {dns}
zone: {zone}
ca_file: {ca_file}
page: {control}/#token={quoted}"""


@click.command(short_help="Run a lab: many servers for the tests of another one.")
@address_option("--listen", "127.0.0.1:0", "Address and port that servers share.")
@address_option("--control", "127.0.0.1:0", "Address and port of the control API.")
@address_option("--dns", "127.0.0.1:0", "Address and port of the name server.")
@zone_option
@allow_option
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Authorities in PEM that are trusted beside the system's and the lab's own. "
    "May be given again.",
)
@click.option(
    "--seed",
    metavar="WORDS",
    help="All keys, IDs and random choices follow from it.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append each exchange to a file, as a line of JSON.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the seed and the authority in a folder; by default they end with the "
    "lab.",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"The token of the control API; or {_TOKEN_VARIABLE} has it. By default it is "
    "a random one.",
)
@click.option(
    "--control-host",
    "control_hosts",
    multiple=True,
    callback=parsed(parse_host_name),
    metavar="NAME",
    help="A name by which the control API is reached, beside addresses and localhost. "
    "May be given again.",
)
@json_option
def lab(
    *,
    token_file: Path | None,
    as_json: bool,
    control: SocketAddress,
    zone: str,
    **options: Any,
) -> None:
    """Run many homeservers in one process, to test another homeserver against.

    Each behaves well; the control API makes them, tells them to send, and shows all
    that they received and sent. It prints where everything is, and runs until SIGTERM
    or SIGINT. Port 0 is a free one.

    \b
    Example:
      homeserver lab --json
      curl -H "Authorization: Bearer $TOKEN" -d '{}' $CONTROL/v1/servers
    """
    # As `run` does.
    gc.disable()
    from msgspec import json, structs  # noqa: PLC0415 - see `main`

    from homeserver.config.values import ConfigError, Log  # noqa: PLC0415
    from homeserver.lab.dns_server.records import parse_name  # noqa: PLC0415
    from homeserver.lab.options import (  # noqa: PLC0415
        DEFAULT_ALLOW,
        LabOptions,
        Whereabouts,
    )
    from homeserver.lab.run import run  # noqa: PLC0415
    from homeserver.monitoring import log  # noqa: PLC0415
    from homeserver.protocol.errors import InvalidParam  # noqa: PLC0415

    token = _given_token(token_file)
    if token is None and not ip_address(control.host).is_loopback:
        fail(
            2,
            f"--control {control}: others can reach it, so give it a token by "
            f"--token-file or {_TOKEN_VARIABLE}",
        )
    try:
        zone = parse_name(zone, member="--zone")
    except InvalidParam as problem:
        fail(2, str(problem))
    options["allow"] = options["allow"] or tuple(map(AddressRange.parse, DEFAULT_ALLOW))

    def announce(where: Whereabouts) -> None:
        shown = structs.asdict(where)
        if as_json:
            print(json.encode(where).decode(), flush=True)
        else:
            quoted = quote(where.token, safe="")
            print(_TEXT.format(**shown, quoted=quoted), flush=True)

    log.begin(Log(level="warn"), sys.stderr)
    try:
        run(LabOptions(control=control, zone=zone, token=token, **options), announce)
    except ConfigError as problem:
        fail(2, str(problem))


def _given_token(file: Path | None) -> str | None:
    """The token of a file or of the environment; None if neither has one."""
    if file is None:
        text, where = os.environ.get(_TOKEN_VARIABLE), _TOKEN_VARIABLE
    else:
        try:
            text, where = file.read_text("utf-8", "replace"), str(file)
        except OSError as problem:
            fail(2, f"{file} cannot be read: {problem.strerror}")
    if text is None:
        return None
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        fail(2, f"{where} has no token in it, one word of ASCII")
    return token

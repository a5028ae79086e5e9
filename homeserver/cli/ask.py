"""The commands that use the control API of the running daemon.

Rules: as in `main`. The commands never open the daemon's store themselves.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from homeserver.cli import render
from homeserver.cli.daemon import Daemon, asking_options, whole_daemon_options
from homeserver.cli.options import (
    fail,
    follow_option,
    json_option,
    parsed_entry,
    server_option,
)
from homeserver.cli.times import now_ts
from homeserver.control.client import ControlClient, ControlError
from homeserver.protocol.canonical_json import Json, as_integer
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName, parse_fingerprint

_PEERS = 100  # in one answer of the daemon, which takes three milliseconds to make


@click.command(short_help="Show what other servers have sent.")
@asking_options
@server_option("--origin", "Only what this server has sent.")
@follow_option
def received(
    *, daemon: Daemon, as_json: bool, origin: ServerName | None, follow: bool
) -> None:
    """Show the transactions that the running daemon has received, newest last.

    \b
    Example:
      homeserver received -c homeserver.toml --origin beta.test --follow
    """
    show = _shown(render.received, as_json=as_json)
    daemon.print_list(["received"], "transactions", show, follow=follow, origin=origin)


@click.command(short_help="Show the requests that were refused, and why.")
@asking_options
@server_option("--origin", "Only those that claim this server as their origin.")
@follow_option
def refused(
    *, daemon: Daemon, as_json: bool, origin: ServerName | None, follow: bool
) -> None:
    """Show which requests of other servers the running daemon refused, newest last.

    The last ten thousand are kept, also over restarts.

    \b
    Example:
      homeserver refused -c homeserver.toml --origin beta.test --follow
    """
    show = _shown(render.refusal, as_json=as_json)
    daemon.print_list(["refused"], "refused", show, follow=follow, origin=origin)


def _shown(
    render_one: Callable[[dict[str, Any], int], str], *, as_json: bool
) -> Callable[[dict[str, Any]], str]:
    """The function that shows an item as text, or as JSON."""
    return json.dumps if as_json else lambda item: render_one(item, now_ts())


def _parsed_pin(
    context: click.Context, _: click.Parameter, value: tuple[str, str] | None
) -> object:
    """A peer's name and a fingerprint."""
    if value is None or context.resilient_parsing:
        return None
    try:
        return ServerName.parse(value[0]), parse_fingerprint(value[1])
    except ProtocolError as problem:
        fail(2, f"--pin: {problem}")


@click.command(short_help="Show the known peers.")
@asking_options
@server_option(
    "--forget",
    "Forget how this peer was verified, its pins and keys, and its failures.",
)
@server_option(
    "--retry", "Reset the back-off of this peer, and forget its discovery results."
)
@click.option(
    "--pin",
    nargs=2,
    metavar="NAME SHA256",
    callback=_parsed_pin,
    help="Trust this peer's certificate by its SHA-256, whatever names are in it.",
)
@click.option(
    "--drop",
    nargs=2,
    metavar="NAME ID",
    callback=parsed_entry,
    help="Drop the queued transaction with this ID, which `send` printed.",
)
@server_option("--drop-all", "Drop everything that is queued for this peer.")
def peers(  # noqa: PLR0913 - its options are its arguments
    *,
    daemon: Daemon,
    as_json: bool,
    forget: ServerName | None,
    retry: ServerName | None,
    pin: tuple[ServerName, str] | None,
    drop: tuple[ServerName, str] | None,
    drop_all: ServerName | None,
) -> None:
    """Show the known peers: how verified, pinned keys, back-off.

    With an option that changes something, it says what was changed and shows no list.
    --forget keeps what is queued for the peer (see --drop-all) and what it sent.

    \b
    Example:
      homeserver peers -c homeserver.toml
      homeserver peers -c homeserver.toml --forget beta.test
      homeserver peers -c homeserver.toml --drop beta.test 12
    """
    client = daemon.client()
    tell = partial(_tell, as_json=as_json)
    if forget is not None:
        tell("forget", forget, client.delete("v1", "peers", forget.name, "pin"))
    if retry is not None:
        client.post("v1", "peers", retry.name, "retry", content={})
        tell("retry", retry, {})
    if pin is not None:
        name, sha256 = pin
        content: Json = {"certificate_sha256": sha256}
        client.put("v1", "peers", name.name, "pin", content=content)
        tell("pin", name, content)
    if drop is not None:
        tell("drop", drop[0], _drop(client, *drop))
    if drop_all is not None:
        tell("drop-all", drop_all, _drop(client, drop_all))
    if any(each is not None for each in (forget, retry, pin, drop, drop_all)):
        return
    for peer in daemon.items(["peers"], "peers", limit=_PEERS):
        print(json.dumps(peer) if as_json else render.peer(peer, now_ts()))


def _drop(client: ControlClient, name: ServerName, *entry: str) -> Json:
    """Drop one queued entry of a peer, or all; the reply, which has their number."""
    reply = client.delete("v1", "send", name.name, *entry)
    if not as_integer(reply["dropped"], "`dropped`"):
        client.get("v1", "peers", name.name)  # an unknown one is a failure
    return reply


def _tell(done: str, name: ServerName, reply: Json, *, as_json: bool) -> None:
    """Print what was changed of a peer, and what stays."""
    if as_json:
        print(json.dumps({"done": done, "server_name": name.name} | reply))
    elif done == "forget":
        queued = as_integer(reply["queued"], "`queued`")
        print(
            f"forgotten: how {name} was verified, its pins and keys, and its failures;"
            f" {render.count(queued, 'queued entry stays', 'queued entries stay')}, "
            "and so does what it sent"
        )
    elif done == "retry":
        print(f"retried: {name} has no back-off, and is looked up again")
    elif done == "pin":
        print(f"pinned: {name} may show the certificate {reply['certificate_sha256']}")
    else:
        dropped = as_integer(reply["dropped"], "`dropped`")
        print(f"dropped: {render.count(dropped, 'entry', 'entries')} for {name}")


@click.command(short_help="Ask whether the daemon is well.")
@whole_daemon_options
@json_option
@click.option(
    "--verbose", is_flag=True, help="Show every bound: its use and its refusals."
)
def health(*, daemon: Daemon, as_json: bool, verbose: bool) -> None:
    """Ask whether the running daemon accepts connections and its store answers.

    The exit status is 1 if not, as for a container's health check.

    \b
    Example:
      homeserver health -c homeserver.toml
    """
    client = daemon.client(needs_token=verbose)
    try:
        state = client.get("health", timeout=5.0)
        if verbose:
            state |= client.get("v1", "bounds")
    except ControlError as problem:
        if problem.status != 503:
            raise
        silent = [each for each in problem.remarks if each.endswith("does not answer")]
        fail(1, "; ".join(silent) or "its store does not answer")
    print(json.dumps(state) if as_json else render.health(state))

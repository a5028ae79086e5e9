"""The commands that ask a lab: its servers, and what passed.

Rules: as in `ask`. A lab is named by `--lab` or by the environment.
"""

import json
from typing import Any

import click

from homeserver.cli.daemon import Daemon, asking_options
from homeserver.cli.options import fail, follow_option, server_option
from homeserver.control.client import ControlClient, ControlError
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import printable
from homeserver.protocol.identifiers import ServerName

_FILTERS = {
    "peer": "Only those with this server; `*` is any text, as in the other filters.",
    "direction": "`in` or `out`.",
    "kind": "`dns`, `connection` or `request`.",
    "route": "The template, as in `/_matrix/federation/v1/send/{txnId}`.",
    "method": "Of a question to the DNS, the type of the records.",
    "path": "Of a question to the DNS, the name.",
    "status": "As in `503` or `5*`.",
    "reason": "The code of what is wrong with it.",
    "txn_id": "The ID of a transaction.",
    "room_id": "A room of its path, or of one of its PDUs.",
}


@click.command(short_help="Make, list and delete servers of a lab.")
@asking_options
@click.option("--make", is_flag=True, help="Make a server, or --count of them.")
@click.option(
    "--count",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    metavar="NUMBER",
    help="How many to make.",
)
@click.option(
    "--name", metavar="NAME", help="Its name; by default one below the lab's zone."
)
@click.option("--own", is_flag=True, help="With a port of its own.")
@server_option("--delete", "Delete a server; it goes on answering politely.")
@click.option("--gone", is_flag=True, help="A deleted server answers nothing any more.")
def servers(
    *,
    daemon: Daemon,
    as_json: bool,
    make: bool,
    delete: ServerName | None,
    gone: bool,
    **options: Any,
) -> None:
    """Show the servers of a lab or of a daemon, and make or delete some of a lab's.

    \b
    Example:
      homeserver servers --lab http://127.0.0.1:8008 --make --count 10
    """
    if make and delete is not None:
        fail(2, "--make and --delete are two commands")
    client = daemon.client()
    try:
        if delete is not None:
            steps = ("v1", "servers", delete.name)
            client.delete(*steps, gone="true" if gone else None)
            return
        answer = _made(client, **options) if make else None
    except ControlError as problem:
        if problem.status == 405:
            fail(1, "the servers of a daemon are those of its configuration")
        raise
    if answer is None:
        answer = client.get("v1", "servers", timeout=60.0)
    listed: Any = answer["servers"]
    for each in listed:
        text = f"{each['server_name']} at {each['listen']}, {each['key_id']}"
        print(json.dumps(each) if as_json else printable(text))


def _made(client: ControlClient, count: int, name: str | None, *, own: bool) -> Json:
    """The answer about new servers; raises `ControlError`."""
    content: Json = {"count": count, "listen": "own" if own else "shared"}
    if name is not None:
        content["name"] = name
    return client.post("v1", "servers", content=content)


def _filters(command: Any) -> Any:
    for name, text in reversed(_FILTERS.items()):
        # `path` is that of the configuration already.
        flag = f"--{name.replace('_', '-')}"
        option = click.option(flag, f"of_{name}", metavar="PATTERN", help=text)
        command = option(command)
    return command


@click.command(short_help="Show what passed between a lab and other servers.")
@asking_options
@_filters
@follow_option
def exchanges(*, daemon: Daemon, as_json: bool, follow: bool, **filters: Any) -> None:
    """Show the exchanges in the record of a lab, oldest first.

    A daemon has a record with `[lab] rules = true` in its configuration.

    `--json` has all members; `GET /v1/exchanges/ID` has headers and bodies too.

    \b
    Example:
      homeserver exchanges --lab http://127.0.0.1:8008 --status '5*' --follow
    """
    daemon.print_list(
        ["exchanges"],
        "exchanges",
        json.dumps if as_json else lambda each: printable(_line(each)),
        follow=follow,
        **{name.removeprefix("of_"): text for name, text in filters.items()},
    )


def _line(exchange: dict[str, Any]) -> str:
    """One exchange in text."""
    arrow = "<-" if exchange["direction"] == "in" else "->"
    ours, theirs = exchange["server"] or "?", exchange["peer"] or "?"
    parts = [f"{exchange['id']}: {exchange['kind']} {ours} {arrow} {theirs}"]
    parts += [str(exchange[name]) for name in ("method", "path") if name in exchange]
    line = " ".join(parts)
    is_silent = exchange["kind"] == "request" and exchange.get("status") is None
    results = ["no response"] if is_silent else []
    results += [
        str(exchange[name])
        for name in ("status", "verdict", "reason", "error")
        if exchange.get(name) is not None
    ]
    seconds = f"{exchange['seconds'] * 1000:.1f} ms"
    return f"{line}: {', '.join([*results, seconds])}"

"""The commands about the faults of a lab's servers.

Rules: as in `ask`. `--server` names the server; without it, rules are of all servers.
"""

import json
from typing import Any

import click

from homeserver.cli.daemon import Daemon, asking_options, daemon_options
from homeserver.cli.group import Group
from homeserver.cli.options import given
from homeserver.control.client import ControlClient
from homeserver.protocol.errors import printable


def _place(daemon: Daemon) -> tuple[ControlClient, list[str]]:
    """A client, and the steps to the rules."""
    if daemon.server is None:
        return daemon.client(), ["v1", "rules"]
    steps = ["v1", "servers", daemon.server.name, "rules"]
    # The path names the server, so the query does not.
    return Daemon(daemon.path, daemon.url, daemon.token_file, None).client(), steps


def _show(rule: Any, *, as_json: bool) -> None:
    parts = [f"{name} {json.dumps(value)}" for name, value in rule["do"].items()]
    only = "".join(f", {name} {value}" for name, value in rule["match"].items())
    for name in ("skip", "every", "chance", "also"):
        if name in rule:
            only += f", {name}" + ("" if rule[name] is True else f" {rule[name]}")
    counts = f"matched {rule['matched']}, acted {rule['acted']}"
    if rule["times"] is not None:
        counts += f" of {rule['times']}"
    text = f"{rule['id']}: {', '.join(parts)}{only}; {counts}"
    print(json.dumps(rule) if as_json else printable(text))


@click.group(
    cls=Group, short_help="Make a lab's servers answer wrongly; add, list, remove."
)
def fault() -> None:
    """Make servers of a lab answer wrongly, until the fault is removed.

    A daemon takes them with `[lab] rules = true` in its configuration.

    \b
    Example:
      homeserver fault add --lab http://127.0.0.1:8008 http.status 503 --times 1
    """


@fault.command(short_help="Put a fault in force.")
@asking_options
@click.argument("name", metavar="FAULT")
@click.argument("argument", metavar="[ARGUMENT]", default="true")
@click.option("--method", metavar="PATTERN", help="Only requests with this method.")
@click.option("--peer", metavar="PATTERN", help="Only requests of this server.")
@click.option("--route", metavar="PATTERN", help="Only requests of this template.")
@click.option("--times", type=click.IntRange(1), metavar="NUMBER", help="How often.")
def add(
    *,
    daemon: Daemon,
    as_json: bool,
    name: str,
    argument: str,
    times: int | None,
    **match: str | None,
) -> None:
    """Put a fault in force; ARGUMENT is JSON, or a text. docs/faults.md lists all.

    It is of the server that --server names, or else of all servers.

    \b
    Example:
      homeserver fault add --server s1.lab.test tls.certificate expired
    """
    try:
        value = json.loads(argument)
    except ValueError:
        value = argument
    content = {"do": {name: value}, "match": given(match), **given({"times": times})}
    client, steps = _place(daemon)
    _show(client.post(*steps, content=content), as_json=as_json)


@fault.command("list", short_help="Show the faults in force.")
@asking_options
def show(*, daemon: Daemon, as_json: bool) -> None:
    """Show the faults in force, each with how often it has matched and acted.

    They are those of the server that --server names, or else those of all servers.

    \b
    Example:
      homeserver fault list --server s1.lab.test
    """
    client, steps = _place(daemon)
    listed: Any = client.get(*steps)["rules"]
    for rule in listed:
        _show(rule, as_json=as_json)


@fault.command(short_help="End a fault, or all of them.")
@daemon_options
@click.argument("rule", metavar="[ID]", type=click.IntRange(1), required=False)
def remove(*, daemon: Daemon, rule: int | None) -> None:
    """End the fault with an ID; without one, all that `list` shows.

    \b
    Example:
      homeserver fault remove --server s1.lab.test 1
    """
    client, steps = _place(daemon)
    client.delete(*steps, *([] if rule is None else [str(rule)]))

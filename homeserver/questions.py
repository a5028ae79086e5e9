"""The commands that ask the running daemon.

Rules of the room: as those of `cli`. What the daemon knows, it is asked for; the store
is never opened behind its back.
"""

import json
import time
from pathlib import Path
from typing import BinaryIO

import click

from homeserver import display
from homeserver.control.client import MAX_WAIT_SECONDS, ControlClient, ControlError
from homeserver.options import config_option, fail, json_option, load, parsed
from homeserver.protocol.canonical import (
    Json,
    as_list,
    as_object,
    parse,
    parse_object,
)
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.names import ServerName


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0.0:  # nor is "nan", for which one would wait for ever
        raise ValueError(f"{text} is not a number of seconds")
    return seconds


@click.command(short_help="Send a transaction, and wait for its delivery.")
@config_option
@json_option
@click.argument("destination", metavar="DEST", callback=parsed(ServerName.parse))
@click.option(
    "--pdu",
    "pdus",
    multiple=True,
    metavar="JSON",
    help="A PDU to send; may be given again.",
)
@click.option(
    "--edu",
    "edus",
    multiple=True,
    metavar="JSON",
    help="An EDU to send; may be given again.",
)
@click.option(
    "--transaction",
    "file",
    type=click.File("rb"),
    metavar="FILE",
    help='A JSON object {"pdus": [...], "edus": [...]} to send ("-": standard input).',
)
@click.option(
    "--room-version",
    metavar="VERSION",
    default="12",
    show_default=True,
    help="Of the PDUs that are to be signed.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    default="30",
    show_default=True,
    callback=parsed(_parse_seconds),
    help="How long to wait; what is not delivered then stays queued.",
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

    A PDU without `signatures` is hashed and signed; one that has some goes as it is. It
    ends with 1 where DEST has not acknowledged the transaction in time.

    \b
    Example:
      homeserver send -c homeserver.toml beta.test \\
        --edu '{"edu_type": "m.test", "content": {}}'
    """
    try:
        content = {} if file is None else parse_object(file.read())
        content = {
            "pdus": [
                *as_list(content.get("pdus", []), "`pdus`"),
                *(parse(text.encode("utf-8", "surrogateescape")) for text in pdus),
            ],
            "edus": [
                *as_list(content.get("edus", []), "`edus`"),
                *(parse(text.encode("utf-8", "surrogateescape")) for text in edus),
            ],
            "room_version": room_version,
        }
    except ProtocolError as problem:
        fail(2, str(problem))
    client = _client(path)
    try:
        entry = client.post("v1", "send", destination.name, content=content)
        state = _wait_for_delivery(client, destination, str(entry["id"]), timeout)
    except ControlError as problem:
        fail(2 if problem.status == 400 else 1, str(problem))
    if as_json:
        print(json.dumps(state))
    elif state["state"] == "delivered":
        print(f"delivered: {state['txn_id']}")
        print(json.dumps(state["reply"]))
    why = state["error"] or "no attempt has ended yet"
    if state["state"] == "rejected":
        fail(1, f"rejected, it is not sent again: {why}")
    if state["state"] == "dropped":
        fail(1, "dropped: what it says was stale before it could be delivered")
    if state["state"] != "delivered":
        fail(1, f"not delivered yet, it stays queued: {why}")


@click.command(short_help="Show what other servers have sent.")
@config_option
@json_option
@click.option(
    "--origin",
    metavar="NAME",
    callback=parsed(ServerName.parse),
    help="Only what this server has sent.",
)
@click.option("--follow", is_flag=True, help="Wait for more, until interrupted.")
def received(
    *, path: Path, as_json: bool, origin: ServerName | None, follow: bool
) -> None:
    """Show what the running daemon has received, newest last.

    \b
    Example:
      homeserver received -c homeserver.toml --origin beta.test --follow
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
        fail(1, str(problem))
    except KeyboardInterrupt:
        return


@click.command(short_help="Show the peers that are known.")
@config_option
@json_option
@click.option(
    "--forget",
    metavar="NAME",
    callback=parsed(ServerName.parse),
    help="Clear the pin of this peer, and how it was verified.",
)
@click.option(
    "--retry",
    metavar="NAME",
    callback=parsed(ServerName.parse),
    help="End the back-off of this peer, and forget what was looked up to reach it.",
)
def peers(
    *, path: Path, as_json: bool, forget: ServerName | None, retry: ServerName | None
) -> None:
    """Show the peers that are known: how verified, pinned keys, back-off.

    The running daemon is asked. With --forget or --retry, nothing is shown.

    \b
    Example:
      homeserver peers -c homeserver.toml
      homeserver peers -c homeserver.toml --forget beta.test
    """
    client = _client(path)
    try:
        if forget is not None:
            client.delete("v1", "peers", forget.name, "pin")
        if retry is not None:
            client.post("v1", "peers", retry.name, "retry", content={})
        if forget is not None or retry is not None:
            return
        for peer in as_list(client.get("v1", "peers")["peers"], "`peers`"):
            known = as_object(peer, "a peer")
            print(json.dumps(known) if as_json else display.peer(known))
    except ControlError as problem:
        fail(1, str(problem))


@click.command(short_help="Ask whether the daemon is well.")
@config_option
@json_option
@click.option(
    "--verbose", is_flag=True, help="Show every bound: its use and its refusals."
)
def health(*, path: Path, as_json: bool, verbose: bool) -> None:
    """Ask whether the running daemon accepts connections and its store answers.

    It ends with 1 where it does not, as a container's health check has to.

    \b
    Example:
      homeserver health -c homeserver.toml
    """
    client = _client(path)
    try:
        state = client.get("health", timeout=5.0)
        if verbose:
            state |= client.get("v1", "bounds")
    except ControlError as problem:
        fail(1, "its store does not answer" if problem.status == 503 else str(problem))
    print(json.dumps(state) if as_json else display.health(state))


def _wait_for_delivery(
    client: ControlClient, destination: ServerName, entry: str, seconds: float
) -> Json:
    """The entry's state once it is final, or when `seconds` are over."""
    deadline = time.monotonic() + seconds
    while True:
        left = max(0.0, min(deadline - time.monotonic(), MAX_WAIT_SECONDS))
        state = client.get(
            "v1", "send", destination.name, entry, timeout=left + 10, wait=left
        )
        is_open = state["state"] in {"queued", "sending"}
        if not is_open or time.monotonic() >= deadline:
            return state


def _client(path: Path) -> ControlClient:
    try:
        return ControlClient(path, load(path))
    except ControlError as problem:
        fail(2, str(problem))

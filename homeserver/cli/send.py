"""The command that submits a transaction and waits for its delivery.

Rules: as in `ask`. The exit status is 0 if the transaction was delivered; if not, the
reason is printed.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import BinaryIO, TypeVar

import click

from homeserver.cli import render
from homeserver.cli.daemon import Daemon, asking_options
from homeserver.cli.options import fail, parse_queue_id, parsed, read_file
from homeserver.cli.times import now_ts
from homeserver.control.client import MAX_WAIT_SECONDS, ControlClient
from homeserver.net.interruptions import ending
from homeserver.protocol.canonical_json import (
    Json,
    as_list,
    as_object,
    parse,
    parse_object,
)
from homeserver.protocol.errors import InvalidParam, ProtocolError, quote
from homeserver.protocol.identifiers import ServerName

_T = TypeVar("_T")

_OPEN_STATES = frozenset({"queued", "sending"})


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0.0:  # not "nan" either, which would wait for ever
        raise ValueError(f"{text} is not a number of seconds")
    return seconds


@click.command(short_help="Send a transaction, and wait for its delivery.")
@asking_options
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
    help='A JSON object {"pdus": [...], "edus": [...], "room_version": "12"} to send '
    '("-": standard input).',
)
@click.option(
    "--room-version",
    metavar="VERSION",
    help='Of the PDUs that are to be signed; "2014" for servers of that year.  '
    "[default: what FILE says, or 12]",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    default="30",
    show_default=True,
    callback=parsed(_parse_seconds),
    help="How long to wait; an undelivered transaction stays queued.",
)
@click.option("--now", is_flag=True, help="Reset the back-off of DEST.")
@click.option(
    "--wait",
    "entry",
    metavar="ID",
    callback=parsed(parse_queue_id),
    help="Send nothing, but wait for the delivery of what was queued under this ID.",
)
@click.option(
    "--txn-id",
    metavar="TXN_ID",
    help="The ID of the transaction, for an empty queue.  [default: a new one]",
)
@click.option(
    "--again",
    metavar="ID",
    callback=parsed(parse_queue_id),
    help="Send the transaction of this queue ID once more, with the same bytes.",
)
@click.option(
    "--spoil",
    "mistakes",
    multiple=True,
    metavar="KIND",
    help="A mistake that it has on purpose, as in `signature`; may be given again.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if the reply has a problem.")
def send(  # noqa: PLR0913 - its options are its arguments
    *,
    daemon: Daemon,
    as_json: bool,
    destination: ServerName,
    pdus: tuple[str, ...],
    edus: tuple[str, ...],
    file: BinaryIO | None,
    room_version: str | None,
    timeout: float,
    now: bool,
    entry: str | None,
    txn_id: str | None,
    again: str | None,
    mistakes: tuple[str, ...],
    strict: bool,
) -> None:
    """Submit a transaction to the running daemon and wait for its delivery to DEST.

    A PDU without `signatures` is hashed and signed; one with signatures is sent
    unchanged. The exit status is 1 if DEST has not acknowledged the transaction in
    time. Problems of the reply, such as a PDU that DEST rejects, are printed as
    remarks. With --spoil, it is 1 if DEST did not do what a right server does; that
    needs a lab, or `[lab] rules = true` in the configuration.

    \b
    Example:
      homeserver send -c homeserver.toml beta.test \\
        --edu '{"edu_type": "m.test", "content": {}}'
    """
    try:
        content = _content(file, pdus, edus, room_version)
    except ProtocolError as problem:
        fail(2, str(problem))
    chosen = {
        "txn_id": txn_id,
        "again": None if again is None else int(again),
        "spoil": list(mistakes) or None,
    }
    content |= {name: value for name, value in chosen.items() if value is not None}
    _check_is_one_thing(content, entry)
    state, known = _deliver(daemon, destination.name, content, entry, timeout, now=now)
    if as_json:
        print(json.dumps(state))
    else:
        for text in render.judged(state):
            print(text)
        if state["state"] == "delivered":
            print(render.delivered(state))
    complaint = _complaint(state, known, strict=strict)
    if complaint is not None:
        fail(1, complaint)


def _check_is_one_thing(content: Json, entry: str | None) -> None:
    """End the command unless there is one thing to send, or to wait for."""
    is_empty = not (content["pdus"] or content["edus"])
    if entry is not None and not (is_empty and content.keys() <= {"pdus", "edus"}):
        fail(2, "--wait sends nothing; leave out what is to be sent")
    if "again" in content:
        if not is_empty or content.keys() & {"txn_id", "spoil"}:
            fail(2, "--again sends a transaction unchanged; leave out its content")
    elif entry is None and is_empty:
        fail(2, "there is nothing to send; give --pdu, --edu or --transaction")


def _deliver(
    daemon: Daemon,
    name: str,
    content: Json,
    entry: str | None,
    timeout: float,
    *,
    now: bool,
) -> tuple[Json, Json | None]:
    """Queue `content`, unless `entry` is the ID of a queued entry, and wait for it.

    Returns its state, and the data about its destination if it is not delivered yet.
    """
    client = daemon.client()
    with ending(130, lambda: _interrupted(daemon, name, entry)):
        if entry is None:
            entry = str(client.post("v1", "send", name, content=content)["id"])
        _tell_back_off(client, name, entry, now=now)
        state = _wait_for_delivery(client, name, entry, timeout)
        is_open = state["state"] in _OPEN_STATES
        return state, client.get("v1", "peers", name) if is_open else None


def _interrupted(daemon: Daemon, name: str, entry: str | None) -> str:
    """The state of the transaction after Ctrl-C."""
    if entry is None:
        return f"interrupted; `homeserver peers {daemon.chosen}` shows what is queued"
    command = f"homeserver send {daemon.chosen} {name} --wait {entry}"
    return f"stays queued as {entry}; `{command}` waits for it"


def _complaint(state: Json, known: Json | None, *, strict: bool) -> str | None:
    """Why the command fails; None if it succeeds."""
    if "as_expected" in state:
        return render.not_as_expected(state, now_ts(), known)
    if state["state"] != "delivered":
        return render.not_delivered(state, now_ts(), known)
    remarks = as_list(state["remarks"], "`remarks`")
    if strict and remarks:
        first = as_object(remarks[0], "a remark")["text"]
        return f"delivered, but the reply has a problem: {first}"
    return None


def _tell_back_off(client: ControlClient, name: str, entry: str, *, now: bool) -> None:
    """Print that a destination is in back-off; with `now`, reset it instead."""
    if client.get("v1", "send", name, entry)["state"] not in _OPEN_STATES:
        return
    if now:
        client.post("v1", "peers", name, "retry", content={})
        return
    back_off = render.back_off(client.get("v1", "peers", name), now_ts())
    if back_off is not None:
        print(
            f"{name} is {back_off}; queued under ID {entry}; `--now` tries at once",
            file=sys.stderr,
        )


def _content(
    file: BinaryIO | None,
    pdus: tuple[str, ...],
    edus: tuple[str, ...],
    room_version: str | None,
) -> Json:
    """The content to send, with that of FILE; raises `ProtocolError`."""
    content: Json = {}
    if file is not None:
        content = _read(file.name, read_file(file), parse_object)
    if room_version is not None:
        in_file = content.setdefault("room_version", room_version)
        if in_file != room_version:
            raise InvalidParam(
                f"--room-version is {room_version}, but {quote(in_file)} in FILE"
            )
    return content | {
        "pdus": [
            *as_list(content.get("pdus", []), "`pdus`"),
            *(_read("--pdu", _bytes(text), parse) for text in pdus),
        ],
        "edus": [
            *as_list(content.get("edus", []), "`edus`"),
            *(_read("--edu", _bytes(text), parse) for text in edus),
        ],
    }


def _read(where: str, data: bytes, read: Callable[[bytes], _T]) -> _T:
    """The JSON of an option or of a file; raises `ProtocolError`, which names it."""
    try:
        return read(data)
    except ProtocolError as problem:
        raise type(problem)(f"{where}: {problem}") from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _wait_for_delivery(
    client: ControlClient, name: str, entry: str, seconds: float
) -> Json:
    """The entry's final state, or its state after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        left = max(0.0, min(deadline - time.monotonic(), MAX_WAIT_SECONDS))
        state = client.get("v1", "send", name, entry, timeout=left + 10, wait=left)
        is_open = state["state"] in _OPEN_STATES
        if not is_open or time.monotonic() >= deadline:
            return state

"""The command that hands a transaction over and waits for its delivery.

Rules: as those of `questions`. It ends with 0 where the transaction was delivered, and
says why where it was not.
"""

import json
import time
from pathlib import Path
from typing import BinaryIO

import click

from homeserver.control.client import MAX_WAIT_SECONDS, ControlClient, ControlError
from homeserver.options import config_option, fail, json_option, parsed
from homeserver.protocol.canonical import Json, as_list, parse, parse_object
from homeserver.protocol.errors import ProtocolError, printable
from homeserver.protocol.names import ServerName
from homeserver.questions import control_client


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
@click.option(
    "--strict", is_flag=True, help="End with 1 where something is wrong with the reply."
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
    strict: bool,
) -> None:
    """Hand a transaction to the running daemon and wait for its delivery to DEST.

    A PDU without `signatures` is hashed and signed; one that has some goes as it is. It
    ends with 1 where DEST has not acknowledged the transaction in time. What is wrong
    with the reply, such as a PDU that DEST rejects, is printed as a remark.

    \b
    Example:
      homeserver send -c homeserver.toml beta.test \\
        --edu '{"edu_type": "m.test", "content": {}}'
    """
    client = control_client(path)
    try:
        content = _content(file, pdus, edus)
    except ProtocolError as problem:
        fail(2, str(problem))
    try:
        entry = client.post(
            *("v1", "send", destination.name),
            content=content | {"room_version": room_version},
        )
        state = _wait_for_delivery(client, destination, str(entry["id"]), timeout)
    except ControlError as problem:
        fail(2 if problem.status == 400 else 1, str(problem))
    remarks = [str(each) for each in as_list(state["remarks"], "`remarks`")]
    if as_json:
        print(json.dumps(state))
    elif state["state"] == "delivered":
        print(f"delivered: {state['txn_id']}")
        print(json.dumps(state["reply"]))
        for remark in remarks:
            print(f"remark: {printable(remark)}")
    if state["state"] != "delivered":
        fail(1, _why_not(state))
    if strict and remarks:
        fail(1, f"delivered, but the reply is not as it should be: {remarks[0]}")


def _content(
    file: BinaryIO | None, pdus: tuple[str, ...], edus: tuple[str, ...]
) -> Json:
    """What is to be sent; raises `ProtocolError`."""
    content = {} if file is None else parse_object(file.read())
    return {
        "pdus": [
            *as_list(content.get("pdus", []), "`pdus`"),
            *(parse(text.encode("utf-8", "surrogateescape")) for text in pdus),
        ],
        "edus": [
            *as_list(content.get("edus", []), "`edus`"),
            *(parse(text.encode("utf-8", "surrogateescape")) for text in edus),
        ],
    }


def _why_not(state: Json) -> str:
    """Why a transaction was not delivered, and what becomes of it."""
    why = state["error"] or "no attempt has ended yet"
    match state["state"]:
        case "rejected":
            return f"rejected, it is not sent again: {why}"
        case "dropped":
            return "dropped: what it says was stale before it could be delivered"
        case _:
            return f"not delivered yet, it stays queued: {why}"


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

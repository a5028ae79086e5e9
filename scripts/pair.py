"""Two endpoints on this machine that federate: what `scripts/pair` runs.

Starts a name server with the SRV records of `alpha.test` and `beta.test`, and an
endpoint for each. Each sends the other a transaction with a PDU and an EDU. Everything
printed comes from the endpoints' own answers to commands. Everything happens on the
loopback interface and in one temporary folder, or, with `--compose`, in containers
(`scripts.composed`).
"""

import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from scripts.arguments import Arguments
from scripts.composed import Composed, running_composed
from scripts.processes import (
    AT_HOME,
    LOOPBACK,
    Endpoint,
    ProcessError,
    first_line,
    free_ports,
    make_endpoint,
    running_nameserver,
)

Member = Endpoint | Composed

NAMES = ("alpha.test", "beta.test")

CONFIGURATION = f"""{AT_HOME}
[sending]
first_retry_seconds = 0.5
"""


def main() -> int:
    """Run the pair; the exit status."""
    parser = Arguments(
        prog="scripts/pair", description="Run two endpoints that federate."
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave them running until Ctrl-C"
    )
    parser.add_argument(
        "--compose", action="store_true", help="as containers, by docker-compose.yml"
    )
    parser.add_argument(
        "--no-build",
        action="store_true",
        help="with --compose: take the image that is there",
    )
    options = parser.parse_args()
    # To be ended is to end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pair-")))
        try:
            pair: Sequence[Member]
            if options.compose:
                composed = running_composed(build=not options.no_build)
                pair = stack.enter_context(composed)
            else:
                pair = start(folder, stack)
            first, second = pair
            send(first, second)
            send(second, first)
            seconds = time.monotonic() - begun
            print(f"\nDelivered and recorded both ways, in {seconds:.1f} seconds.")
            if options.keep:
                wait_for_interrupt(first, second)
        except ProcessError as problem:
            print(f"\nThe pair failed: {problem}", file=sys.stderr)
            for log in sorted(folder.rglob("*.log")):
                said = log.read_text()
                print(f"--- {log.relative_to(folder)}\n{said}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 1
    return 0


def start(folder: Path, stack: ExitStack) -> list[Endpoint]:
    """Start the name server and the endpoints; raises `ProcessError`."""
    [port] = free_ports(1)
    nameserver = f"{LOOPBACK}:{port}"
    configuration = CONFIGURATION.format(nameserver=nameserver)
    endpoints = [make_endpoint(folder / name, name, configuration) for name in NAMES]
    zone = [
        record
        for each in endpoints
        for record in (
            f"{each.name} A {LOOPBACK}",
            f"_matrix._tcp.{each.name} SRV 10 0 {each.port} {each.name}",
        )
    ]
    stack.enter_context(running_nameserver(nameserver, zone, folder / "dns.log"))
    print(f"The name server on {nameserver} has the records")
    for record in zone:
        print(f"    {record}")
    # Both at once: to start is most of what takes time here.
    processes = [stack.enter_context(each.running()) for each in endpoints]
    print("and two endpoints run:")
    for process in processes:
        print(f"    {first_line(process)}", flush=True)
    return endpoints


def send(origin: Member, destination: Member) -> None:
    """Send one transaction, and show and check its delivery."""
    print(f"\n{origin.name} sends {destination.name} a PDU and an EDU")
    [resolution] = origin.ask("resolve", destination.name)
    for step in resolution["steps"]:
        tell(f"{step['step']} {step['asked']}", step["found"])
    pdu = {
        "type": "m.room.message",
        "room_id": f"!pair:{origin.name}",
        "sender": f"@user:{origin.name}",
        "content": {"msgtype": "m.text", "body": f"Hello, {destination.name}"},
        "origin_server_ts": time.time_ns() // 1_000_000,
        "depth": 1,
        "prev_events": [],
        "auth_events": [],
    }
    content = {"room_id": pdu["room_id"], "user_id": pdu["sender"], "typing": True}
    edu = {"edu_type": "m.typing", "content": content}
    [state] = origin.ask(
        "send", destination.name, "--pdu", json.dumps(pdu), "--edu", json.dumps(edu)
    )
    connection = state["connection"]
    tell("connected to", f"{connection['address']} ({connection['route']})")
    tell("verified by", f"{connection['verified_by']}, before any request")
    tell("its certificate", f"SHA-256 {connection['certificate_sha256']}")
    tell("PUT", f"/_matrix/federation/v1/send/{state['txn_id']}")
    tell("reply", json.dumps(state["reply"]))
    [transaction] = destination.ask("received", "--origin", origin.name)
    [recorded_pdu], [recorded_edu] = transaction["pdus"], transaction["edus"]
    signed = f"signed by {transaction['verified_by']['key_id']} of {origin.name}"
    tell(f"{destination.name} has", f"transaction {transaction['txn_id']}, {signed}")
    certificate = transaction["verified_by"]["client_certificate"]
    tell("", f"TLS client certificate of {origin.name}: SHA-256 {certificate}")
    tell("", f"PDU {recorded_pdu['event_id']}: {recorded_pdu['verdict']}")
    tell("", f"EDU {recorded_edu['edu_type']}")
    if (
        transaction["txn_id"] != state["txn_id"]
        or recorded_pdu["verdict"] != "accepted"
        or recorded_pdu["event"]["content"] != pdu["content"]
        or recorded_edu != edu
        or state["reply"] != {"pdus": {recorded_pdu["event_id"]: {}}}
    ):
        raise ProcessError(f"{destination.name} recorded something else: {transaction}")


def tell(what: str, found: str) -> None:
    """Print one step of a transaction's way."""
    print(f"    {what:32} {found}", flush=True)


def wait_for_interrupt(first: Member, second: Member) -> None:
    """Say how to talk to the pair, and wait for Ctrl-C."""
    edu = '{"edu_type": "m.test", "content": {}}'
    print("\nThe pair goes on until Ctrl-C. In another terminal, for example:\n")
    print(f"    {first.spell('resolve')} {second.name}")
    print(f"    {first.spell('send')} {second.name} --edu '{edu}'")
    print(f"    {second.spell('received')} --follow", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\nStopped.")


if __name__ == "__main__":
    sys.exit(main())

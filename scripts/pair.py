"""Two endpoints on this machine that federate: what `scripts/pair` runs.

Starts a name server with the SRV records of `alpha.test` and `beta.test`, and an
endpoint for each. Each sends the other a transaction with a PDU and an EDU. All that
is printed was seen: the endpoints' own answers to the commands that anybody can give.
Everything happens on the loopback interface and in one temporary folder.
"""

import argparse
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
NAMES = ("alpha.test", "beta.test")
SECONDS_TO_START = 30.0  # a slow machine needs two

# What the samples of the configuration cannot know: where the name server of the pair
# is, and that the loopback interface is where its peers are.
PAIR_CONFIGURATION = """
[dns]
servers = ["{nameserver}"]

[network]
allow = ["127.0.0.0/8"]

[sending]
first_retry_seconds = 0.5
"""


class PairError(Exception):
    """Something did not happen as it should; `str()` says what."""


def main() -> int:
    """Run the pair; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/pair", description=__doc__)
    parser.add_argument(
        "--keep", action="store_true", help="leave them running until Ctrl-C"
    )
    keep = parser.parse_args().keep
    # To be ended is to end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pair-")))
        try:
            federate(folder, stack)
            print(
                f"\nDelivered and recorded both ways, in "
                f"{time.monotonic() - begun:.1f} seconds."
            )
            if keep:
                wait_for_interrupt(folder)
        except PairError as problem:
            print(f"\nThe pair failed: {problem}", file=sys.stderr)
            for log in sorted(folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 1
    return 0


def federate(folder: Path, stack: ExitStack) -> None:
    """Start everything and send both ways; raises `PairError`."""
    ports = free_ports(2 * len(NAMES))
    zone = []
    for name, port in zip(NAMES, ports, strict=False):
        zone += [f"{name} A {LOOPBACK}", f"_matrix._tcp.{name} SRV 10 0 {port} {name}"]
    nameserver = stack.enter_context(running_nameserver(folder, zone))
    print(f"The name server on {nameserver} has the records")
    for record in zone:
        print(f"    {record}")
    print()
    for index, name in enumerate(NAMES):
        init(folder / name, name, ports[index], ports[len(NAMES) + index], nameserver)
    # They start at once: starting is most of the time that this takes.
    started = [stack.enter_context(started_endpoint(folder, name)) for name in NAMES]
    for name, process in zip(NAMES, started, strict=True):
        print(f"{name}: {first_line(process, name)}")
    for origin, destination in (NAMES, NAMES[::-1]):
        print(f"\n{origin} sends {destination} a PDU and an EDU")
        send(folder, origin, destination)


def send(folder: Path, origin: str, destination: str) -> None:
    """Send one transaction, and show and check what came of it."""
    resolution = homeserver(folder / origin, "resolve", "--json", destination)
    for step in resolution["steps"]:
        print(
            f"    discovery    {step['step'].upper()} {step['asked']}: {step['found']}"
        )
    pdu = {
        "type": "m.room.message",
        "room_id": f"!pair:{origin}",
        "sender": f"@user:{origin}",
        "content": {"msgtype": "m.text", "body": f"Hello, {destination}"},
        "origin_server_ts": int(time.time() * 1000),  # noqa: TID251 - a real event
        "depth": 1,
        "prev_events": [],
        "auth_events": [],
    }
    edu = {
        "edu_type": "m.typing",
        "content": {
            "room_id": pdu["room_id"],
            "user_id": pdu["sender"],
            "typing": True,
        },
    }
    state = homeserver(
        folder / origin,
        "send",
        "--json",
        destination,
        "--pdu",
        json.dumps(pdu),
        "--edu",
        json.dumps(edu),
    )
    connection = state["connection"]
    print(f"    connected    {connection['address']}, route {connection['route']}")
    print(
        f"    verified by  {connection['verified_by']}, certificate SHA-256"
        f" {connection['certificate_sha256'][:16]}..."
    )
    print(f"    PUT          /_matrix/federation/v1/send/{state['txn_id']}")
    print(f"    reply        200 {json.dumps(state['reply'])}")
    transaction = homeserver(
        folder / destination, "received", "--json", "--origin", origin
    )
    if transaction["txn_id"] != state["txn_id"]:
        raise PairError(f"{destination} recorded another transaction: {transaction}")
    print(
        f"    recorded     by {destination}, signed by"
        f" {transaction['verified_by']['key_id']} of {origin}"
    )
    [recorded] = transaction["pdus"]
    print(f"                 PDU {recorded['event_id']}: {recorded['verdict']}")
    [recorded_edu] = transaction["edus"]
    print(f"                 EDU {recorded_edu['edu_type']}")
    if recorded["verdict"] != "accepted" or recorded_edu != edu:
        raise PairError(f"{destination} recorded something else: {transaction}")
    if state["reply"] != {"pdus": {recorded["event_id"]: {}}}:
        raise PairError(f"{destination} replied something else: {state['reply']}")


def wait_for_interrupt(folder: Path) -> None:
    """Say how to talk to the pair, and wait for Ctrl-C."""
    print("\nThe pair goes on until Ctrl-C. In another terminal, for example:\n")
    program = Path(sys.executable).with_name("homeserver")
    first, second = (folder / name / "homeserver.toml" for name in NAMES)
    edu = '{"edu_type": "m.typing", "content": {}}'
    print(f"    {program} resolve -c {first} {NAMES[1]}")
    print(f"    {program} send -c {first} {NAMES[1]} --edu '{edu}'")
    print(f"    {program} received -c {second} --follow", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\nStopped.")


@contextmanager
def running_nameserver(folder: Path, zone: list[str]) -> Iterator[str]:
    """A name server that serves `zone`; where it listens."""
    script = Path(__file__).with_name("nameserver.py")
    command = [sys.executable, str(script), f"{LOOPBACK}:0"]
    with running(command, folder / "nameserver.log") as process:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        process.stdin.write("\n".join([*zone, "", ""]))
        process.stdin.flush()
        yield first_line(process, "the name server").removeprefix("listening: ")


@contextmanager
def started_endpoint(folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """A daemon of the endpoint `name`."""
    program = str(Path(sys.executable).with_name("homeserver"))
    command = [program, "run", "-c", str(folder / name / "homeserver.toml")]
    with running(command, folder / f"{name}.log") as process:
        yield process


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the context."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # Ctrl-C is for this script, which then ends the others.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def first_line(process: subprocess.Popen[str], name: str) -> str:
    """The first line that a process prints, which says that it is ready."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    watchdog = threading.Timer(SECONDS_TO_START, process.kill)
    watchdog.start()
    line = process.stdout.readline().strip()
    watchdog.cancel()
    if not line:
        raise PairError(f"{name} did not start within {SECONDS_TO_START:g} seconds")
    return line


def init(
    folder: Path, name: str, port: int, control_port: int, nameserver: str
) -> None:
    """Make the files of an endpoint."""
    call(
        "init",
        "--server-name",
        name,
        "--listen",
        f"{LOOPBACK}:{port}",
        "--control",
        f"{LOOPBACK}:{control_port}",
        str(folder),
    )
    with (folder / "homeserver.toml").open("a") as file:
        file.write(PAIR_CONFIGURATION.format(nameserver=nameserver))


def homeserver(folder: Path, command: str, *arguments: str) -> dict[str, Any]:
    """What a command of the endpoint in `folder` prints with `--json`."""
    output = call(command, "-c", str(folder / "homeserver.toml"), *arguments)
    printed: dict[str, Any] = json.loads(output)
    return printed


def call(*arguments: str) -> str:
    """The output of the program `homeserver`; raises `PairError` if it fails."""
    program = str(Path(sys.executable).with_name("homeserver"))
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise PairError(
            f"`homeserver {' '.join(arguments)}` ended with {done.returncode}: "
            f"{done.stderr.strip()}"
        )
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    sys.exit(main())

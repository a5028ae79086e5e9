"""One real transaction between two endpoints, and the rooms that it enters.

Each endpoint is a process of its own on the loopback interface. The rooms are those of
`docs/architecture.md`; their order is compared with the document.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

from homeserver.protocol.canonical_json import Json
from scripts.arguments import Arguments
from scripts.processes import (
    LOOPBACK,
    Endpoint,
    ProcessError,
    first_line,
    free_ports,
    make_endpoint,
    running,
)
from scripts.sieges.honest import Panel
from scripts.traced import INBOUND, OUTBOUND, Journey, documented

_CONFIGURATION = '\n[network]\nallow = ["127.0.0.0/8"]\n'

_EDU: Json = {"edu_type": "m.test", "content": {}}

_SECONDS_TO_END = 10.0  # of a journey, after its transaction was delivered


def main() -> int:
    """Trace both journeys; the exit status."""
    Arguments(
        prog="scripts/trace",
        description="Trace a transaction through the rooms of docs/architecture.md.",
    ).parse_args()
    try:
        traced = trace()
    except ProcessError as failure:
        print(f"no trace: {failure}", file=sys.stderr)
        return 1
    problems = []
    for heading, journey in documented().items():
        print(f"{heading}:")
        for room in traced[heading]:
            print(f"    {room}")
        found = differences(journey, traced[heading])
        problems += [f"{heading}: {each}" for each in found]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def differences(journey: Journey, entered: list[str]) -> list[str]:
    """In what a trace differs from the document, a sentence each."""
    found = [
        f"{room} is entered {entered.count(room)} times"
        for room in dict.fromkeys(entered)
        if entered.count(room) > 1
    ]
    if not found and entered != journey.rooms:
        found = [f"the document has {', '.join(journey.rooms)}"]
    return found


def trace() -> dict[str, list[str]]:
    """The rooms that a transaction enters, by journey; raises `ProcessError`."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trace-")))
        sender, receiver = (_make(folder / name) for name in ("sender", "receiver"))
        files = {INBOUND: folder / "inbound", OUTBOUND: folder / "outbound"}
        processes = [
            stack.enter_context(_traced(endpoint, heading, files[heading]))
            for endpoint, heading in ((receiver, INBOUND), (sender, OUTBOUND))
        ]
        # A key document that verifies it would be an inbound request of its own.
        certificate = receiver.folder / "tls.crt"
        sender.ask("peers", "--pin", receiver.name, _fingerprint(certificate))
        panel = Panel(sender)
        stack.callback(panel.close)
        for process in processes:
            process.send_signal(signal.SIGUSR1)
        content = {"pdus": [_pdu(sender)], "edus": [_EDU], "room_version": "11"}
        panel.ask("POST", f"/v1/send/{receiver.name}", content)
        return {heading: _read(file) for heading, file in files.items()}


def _pdu(endpoint: Endpoint) -> Json:
    return {
        "type": "m.room.message",
        "room_id": "!r:example.org",
        "sender": f"@a:{endpoint.name}",
        "origin_server_ts": 1_700_000_000_000,
        "depth": 3,
        "auth_events": [],
        "prev_events": [],
        "content": {"msgtype": "m.text", "body": "hello"},
    }


def _make(folder: Path) -> Endpoint:
    [port] = free_ports(1)
    address = f"{LOOPBACK}:{port}"
    return make_endpoint(folder, address, _CONFIGURATION, listen=address)


@contextmanager
def _traced(
    endpoint: Endpoint, heading: str, file: Path
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "scripts.traced", heading, str(file)]
    command += ["run", "-c", str(endpoint.configuration)]
    with running(command, endpoint.log) as process:
        first_line(process)
        yield process


def _fingerprint(certificate: Path) -> str:
    """The SHA-256 of a PEM certificate, in hexadecimal."""
    return sha256(PEM_cert_to_DER_cert(certificate.read_text("ascii"))).hexdigest()


def _read(file: Path) -> list[str]:
    """The rooms in a file, once its journey has ended."""
    deadline = time.monotonic() + _SECONDS_TO_END
    while not file.exists():
        if time.monotonic() > deadline:
            raise ProcessError("a journey did not end")
        time.sleep(0.05)
    rooms: list[str] = json.loads(file.read_text("utf-8"))
    return rooms


if __name__ == "__main__":
    sys.exit(main())

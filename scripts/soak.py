"""Transactions at a steady rate for minutes: what `scripts/soak` runs.

Another server's signed transactions, with a PDU each, go to an endpoint, one after the
other on a few connections. At the end, its memory has not grown in the second half of
the time, it has no more open files than before, and it has logged no error.
"""

import re
import signal
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event, Lock, Thread

from homeserver.config.reader import load
from homeserver.identity.identity import load as load_identity
from homeserver.protocol.identifiers import ServerName
from scripts.arguments import Arguments
from scripts.benchmarks.transactions import Origin, TransactionMaker
from scripts.benchmarks.usage import resident_megabytes
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

CONNECTIONS = 3  # so many transactions of one origin are taken at once
SAMPLES = 60
GROWTH = 1.05  # of the memory, in the second half

_ERROR = re.compile(r"^\S+ (error|critical) |Traceback", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """The memory and the files of the endpoint at one moment."""

    megabytes: float
    files: int


@dataclass
class Load:
    """Requests at a steady rate, until it is stopped."""

    endpoint: Endpoint
    maker: TransactionMaker
    rate: float
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def start(self) -> list[Thread]:
        """Send on each of the connections, in turn."""
        begun, numbers = time.monotonic(), count()
        threads = [
            Thread(target=self._run, args=(begun, numbers), daemon=True)
            for _ in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _run(self, begun: float, numbers: Iterator[int]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        where = (LOOPBACK, self.endpoint.port)
        try:
            with context.wrap_socket(socket.create_connection(where, 60)) as connection:
                answers = connection.makefile("rb")
                for number in numbers:
                    [request] = self.maker.requests(1, pdus=1)
                    due = begun + number / self.rate
                    if self.stop.wait(max(0.0, due - time.monotonic())):
                        return
                    connection.sendall(request)
                    status = answers.readline()
                    length = 0
                    while (line := answers.readline().strip()) != b"":
                        name, _, value = line.partition(b": ")
                        length = int(value) if name == b"Content-Length" else length
                    body = answers.read(length)
                    if b" 200 " not in status or b"error" in body:
                        self.failures.append(f"{status!r} {body!r}")
                    with self.lock:
                        self.answered += 1
        except (OSError, ValueError) as problem:
            self.failures.append(repr(problem))


def main() -> int:
    """Run it; the exit status."""
    parser = Arguments(prog="scripts/soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=100.0, help="a second")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        try:
            return soak(folder, options.seconds, options.rate, stack)
        except ProcessError as problem:
            print(problem, file=sys.stderr)
            return 1


def soak(folder: Path, seconds: float, rate: float, stack: ExitStack) -> int:
    """Send for so many seconds, and judge; the exit status."""
    [port] = free_ports(1)
    nameserver = f"{LOOPBACK}:{port}"
    configuration = AT_HOME.format(nameserver=nameserver)
    alpha, beta = (
        make_endpoint(folder / name, name, configuration)
        for name in ("alpha.test", "beta.test")
    )
    zone = [
        f"beta.test A {LOOPBACK}",
        f"_matrix._tcp.beta.test SRV 0 0 {beta.port} beta.test",
    ]
    stack.enter_context(running_nameserver(nameserver, zone, folder / "dns.log"))
    process = stack.enter_context(alpha.running())
    for each in (process, stack.enter_context(beta.running())):
        print(first_line(each), flush=True)
    identity = load_identity(beta.configuration, load(beta.configuration).first)
    origin = Origin(identity.server_name, identity.signing_keys[0])
    maker = TransactionMaker(
        [origin], ServerName.parse(alpha.name), time.time_ns() // 1_000_000
    )
    sending = Load(alpha, maker, rate)
    threads = sending.start()
    samples = []
    for number in range(SAMPLES):
        time.sleep(seconds / SAMPLES)
        sample = measure(process.pid)
        samples.append(sample)
        now = (number + 1) * seconds / SAMPLES
        print(
            f"{now:6.0f} s  {sending.answered:7} answered  "
            f"{sample.megabytes:6.1f} MB  {sample.files:3} files",
            flush=True,
        )
    sending.stop.set()
    for thread in threads:
        thread.join()
    problems = judge(samples)
    if sending.answered < 0.98 * seconds * rate:
        problems.append(f"only {sending.answered / seconds:.1f} a second were answered")
    problems += sending.failures[:10]
    problems += [
        f"logged: {line[0]}" for line in _ERROR.finditer(alpha.log.read_text())
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    print("it did not hold" if problems else "all answered, nothing grew or went wrong")
    return 1 if problems else 0


def measure(process_id: int) -> Sample:
    """The memory and the files of a process now."""
    files = len(list(Path(f"/proc/{process_id}/fd").iterdir()))
    return Sample(resident_megabytes(process_id), files)


def judge(samples: Sequence[Sample]) -> list[str]:
    """What is wrong with the second half, measured by its tenths."""
    tenth = len(samples) // 10
    middle, end = samples[5 * tenth : 6 * tenth], samples[-tenth:]
    before, after = (
        sum(sample.megabytes for sample in part) / tenth for part in (middle, end)
    )
    print(f"memory in the second half: {before:.1f} to {after:.1f} MB")
    problems = []
    if after > GROWTH * before:
        problems.append(f"its memory grew by {100 * (after / before - 1):.0f} %")
    if max(s.files for s in end) > max(s.files for s in middle):
        problems.append("it has more files open at the end than in the middle")
    return problems


if __name__ == "__main__":
    sys.exit(main())

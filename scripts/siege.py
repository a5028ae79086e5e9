"""All attacks on an endpoint at once, while it serves an honest one: `scripts/siege`.

The endpoint is a real daemon, and so is the honest one; the attackers are a process of
their own. It holds if honest transactions go both ways within two seconds, 99 of a
hundred, none is lost, doubled or out of order, the endpoint stays within its memory and
its disk, and logs no traceback. Attacks that cost neither time nor space (names of
certificates, addresses, the texts of refusals, clocks) are tested elsewhere.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.arguments import Arguments
from scripts.benchmarks.usage import cpu_seconds, resident_megabytes
from scripts.processes import (
    AT_HOME,
    LOOPBACK,
    OWN_ERRORS,
    Endpoint,
    ProcessError,
    first_line,
    free_ports,
    make_endpoint,
    running,
)
from scripts.sieges.honest import Panel, Side, percentile

MEMORY_MEGABYTES = 300.0
STORE_MEGABYTES = 100.0
# 256 of 2**20, the default of `max_arriving_megabytes`; files end with a whole page.
BODIES_MEGABYTES = 271.0

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there


@dataclass(frozen=True)
class Sample:
    """The memory and the disk space of the endpoint at one moment, in megabytes."""

    memory: float
    store: float
    bodies: float
    """In temporary files, while they arrive."""

    files: int


def main() -> int:
    """Run it; the exit status."""
    parser = Arguments(prog="scripts/siege", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=10.0, help="a second, each way")
    parser.add_argument("--intensity", type=float, default=1.0, help="of the attacks")
    parser.add_argument("--without", action="append", default=[], metavar="ATTACK")
    parser.add_argument(
        "--ipv6", action="store_true", help="attack from fd00:64::/64 as well"
    )
    parser.add_argument("--p99", type=float, default=2.0, help="seconds at most")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="siege-")))
        try:
            return siege(folder, options, stack)
        except ProcessError as problem:
            print(problem, file=sys.stderr)
            return 1


def siege(folder: Path, options: argparse.Namespace, stack: ExitStack) -> int:
    """Attack as the options say, and judge; the exit status."""
    ports = free_ports(4)
    configuration = AT_HOME.format(nameserver=f"{LOOPBACK}:{ports[0]}")
    # Where the bodies that arrive are counted: in memory, as in the composed pair. On
    # the store's own disk, each of its commits waits until they are written as well.
    parent = _IN_MEMORY if _IN_MEMORY.is_dir() else folder
    temporary = Path(
        stack.enter_context(tempfile.TemporaryDirectory(prefix="siege-", dir=parent))
    )
    # Of IPv4 as well.
    listens = [f"[::]:{port}" if options.ipv6 else None for port in free_ports(2)]
    alpha, beta = (
        make_endpoint(folder / name, name, configuration, listen)
        for name, listen in zip(("alpha.test", "beta.test"), listens, strict=True)
    )
    evil = make_endpoint(folder / "evil", "evil.test", "")
    command = _attack(evil, ports, options, (alpha, beta))
    attackers = stack.enter_context(running(command, folder / "attackers.log"))
    first_line(attackers)
    os.environ["TMPDIR"] = str(temporary)
    process = stack.enter_context(alpha.running())
    for started in (process, stack.enter_context(beta.running())):
        print(first_line(started), flush=True)

    sides = [Side(alpha, beta, options.rate), Side(beta, alpha, options.rate)]
    threads = [thread for side in sides for thread in side.start()]
    assert attackers.stdin is not None  # noqa: S101 - for the type checker
    attackers.stdin.write("go\n")
    attackers.stdin.flush()
    samples = watch(alpha, process.pid, temporary, options.seconds, sides)
    shown = bounds(alpha)
    for side in sides:
        side.stop.set()
    for thread in threads:
        thread.join()
    # Last, because they are the name server of what is still queued, too.
    said = end(attackers)
    for line in shown:
        print(line)
    print(json.dumps(said, indent=2))
    problems = judge(sides, samples, options.p99)
    problems += said["failed"]
    problems += [
        f"logged by {each.name}: {line[0]}"
        for each in (alpha, beta)
        for line in OWN_ERRORS.finditer(each.log.read_text())
    ][:10]
    for problem in problems:
        print(problem, file=sys.stderr)
    print("it did not hold" if problems else "it held")
    return 1 if problems else 0


def _attack(
    evil: Endpoint,
    ports: Sequence[int],
    options: argparse.Namespace,
    honest: Sequence[Endpoint],
) -> list[str]:
    """The command that attacks the first of the honest endpoints."""
    command = [sys.executable, "-m", "scripts.sieges", str(evil.folder)]
    command += map(str, ports)
    command += ["--target", honest[0].name, "--intensity", str(options.intensity)]
    for attack in options.without:
        command += ["--without", attack]
    if options.ipv6:
        command.append("--ipv6")
    for each in honest:
        command += ["--honest", f"{each.name}={each.port}"]
    return command


def watch(
    endpoint: Endpoint,
    process_id: int,
    temporary: Path,
    seconds: float,
    sides: Sequence[Side],
) -> list[Sample]:
    """Measure the endpoint each second, and print a line each half minute."""
    samples: list[Sample] = []
    panel, requests, cpu = Panel(endpoint), 0, 0.0
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
        time.sleep(1.0)
        samples.append(measure(endpoint.folder, process_id, temporary))
        if int(now) % 30 == 0:
            latest = samples[-1]
            delivered = sum(len(side.seconds) for side in sides)
            before = requests, cpu
            requests, cpu = panel.count_requests(), cpu_seconds(process_id)
            # The cost of the same flood, also where the machine has other work.
            each = (cpu - before[1]) / max(1, requests - before[0])
            print(
                f"{now:5.0f} s  {delivered:6} delivered  "
                f"{latest.memory:6.1f} MB memory  {latest.store:6.1f} MB store  "
                f"{latest.bodies:6.1f} MB bodies  "
                f"{latest.files:5} files  {cpu:6.1f} s CPU, {each * 1000:4.1f} ms a "
                "request",
                flush=True,
            )
    return samples


def measure(folder: Path, process_id: int, temporary: Path) -> Sample:
    """The memory and the disk space of a process now, with its deleted open files."""
    store = sum(each.stat().st_size for each in folder.iterdir() if each.is_file())
    bodies = 0
    files = list(Path(f"/proc/{process_id}/fd").iterdir())
    for each in files:
        try:
            if str(each.readlink()).startswith(str(temporary)):
                bodies += each.stat().st_size
        except OSError:
            continue  # it was closed meanwhile
    memory = resident_megabytes(process_id)
    return Sample(memory, store / 1e6, bodies / 1e6, len(files))


def bounds(endpoint: Endpoint) -> list[str]:
    """The bounds that have refused something, as a person reads them."""
    panel = Panel(endpoint)
    found = panel.ask("GET", "/v1/bounds")["bounds"]
    panel.close()
    return [
        f"{each['name']}: {each['use']} of {each['limit']}, {each['refusals']} refused"
        for each in found
        if each["refusals"]
    ]


def end(attackers: "subprocess.Popen[str]") -> dict[str, Any]:
    """Stop the attackers; returns their counts."""
    attackers.terminate()
    assert attackers.stdout is not None  # noqa: S101 - for the type checker
    said: dict[str, Any] = json.loads(attackers.stdout.readline())
    return said


def judge(
    sides: Sequence[Side], samples: Sequence[Sample], p99_seconds: float
) -> list[str]:
    """What is wrong."""
    problems: list[str] = []
    for side in sides:
        way = f"{side.sender.name} to {side.receiver.name}"
        half, most = (percentile(side.seconds, part) for part in (0.5, 0.99))
        print(
            f"{way}: {len(side.seconds)} delivered, p50 {half * 1000:.0f} ms, "
            f"p99 {most * 1000:.0f} ms, longest {max(side.seconds, default=0):.2f} s"
        )
        if most > p99_seconds or not side.seconds:
            problems.append(f"{way}: p99 is {most:.2f} s")
        problems += side.lost()
        problems += side.failures[:10]
    for what, limit in (
        ("memory", MEMORY_MEGABYTES),
        ("store", STORE_MEGABYTES),
        ("bodies", BODIES_MEGABYTES),
    ):
        most = max(getattr(each, what) for each in samples)
        print(f"{what}: at most {most:.1f} MB")
        if most > limit:
            problems.append(f"{what}: {most:.0f} MB are more than {limit:.0f}")
    return problems


if __name__ == "__main__":
    sys.exit(main())

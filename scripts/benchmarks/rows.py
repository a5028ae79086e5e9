"""The rows of the table.

Rules: each round has requests of its own, and all servers get the same
ones. A row has the servers that do the same as ours.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

from scripts.benchmarks import load
from scripts.benchmarks.alone import verification
from scripts.benchmarks.handshakes import Handshakes
from scripts.benchmarks.load import Load, Server
from scripts.benchmarks.ours import (
    BEFORE,
    IN_ROOM,
    LARGE,
    SAME,
    UNBOUNDED,
    WORKERS,
    running_ours,
)
from scripts.benchmarks.outbound import Outbound
from scripts.benchmarks.table import LIBSODIUM, OURS, Row, Sample
from scripts.benchmarks.transactions import KnownRoom, TransactionMaker
from scripts.benchmarks.usage import resident_megabytes
from scripts.benchmarks.yardsticks import GO, NGINX, SYNAPSE
from scripts.processes import Endpoint

_US = "us CPU"

AGAIN = (BEFORE, UNBOUNDED, SAME)
"""Others of ours, in each row of requests."""

_CONNECTIONS = 16  # half as many as there are origins: each sends one at a time

_KEY_V1 = "/_matrix/key/v1"
_KEY_V2 = "/_matrix/key/v2/server"
_VERSION = "/_matrix/federation/v1/version"


def gets(folder: Path, running: Mapping[str, Server], scale: float) -> list[Row]:
    """Requests without a signature."""

    def repeated(name: str, request: bytes, count: int) -> Callable[[int], Load]:
        path = folder / name
        made = load.write(path, [request], _CONNECTIONS, max(1, int(count * scale)))
        return lambda _: made

    v1 = repeated("v1", load.get(_KEY_V1), 5000)
    version = repeated("version", load.get(_VERSION), 5000)
    of_key = dict.fromkeys((OURS, *AGAIN, GO, NGINX), v1)
    # It serves no version 1 any more.
    of_key[SYNAPSE] = repeated("v2", load.get(_KEY_V2), 5000)
    everybody = (OURS, *AGAIN, SYNAPSE, GO, NGINX)
    return [
        _row("GET key (v1; synapse: v2)", running, of_key),
        _row("GET version", running, dict.fromkeys(everybody, version)),
    ]


def handshakes(running: Mapping[str, Server], scale: float) -> list[Row]:
    """A connection for each request: with a new session, and with the last one's."""

    def row(what: str, *, are_resumed: bool) -> Row:
        request = load.get(_VERSION, closes=True)
        made = Handshakes(request, max(1, int(300 * scale)), are_resumed)
        return Row(
            f"GET version, {what}",
            _US,
            {
                name: partial(_shake, made, running[name])
                for name in (OURS, *AGAIN, SYNAPSE, GO, NGINX)
                if name in running
            },
        )

    return [
        row("full TLS 1.3 handshake", are_resumed=False),
        row("resumed TLS 1.3 handshake", are_resumed=True),
    ]


def _shake(made: Handshakes, server: Server, _: int) -> Sample:
    return made.run(server)


def introduce(
    folder: Path, running: Mapping[str, Server], maker: TransactionMaker, origins: int
) -> None:
    """Let each server fetch the keys of all origins, which is not measured."""
    for name, server in running.items():
        if name != NGINX:
            path = folder / "introduction"
            load.run(server, load.write(path, maker.requests(origins, 0), 1))


def puts(
    folder: Path,
    running: Mapping[str, Server],
    maker: TransactionMaker,
    room: KnownRoom,
    scale: float,
) -> list[Row]:
    """Signed transactions, which are stored; `room` is one that our server is in."""

    def row(pdus: int, count: int, *yardsticks: str) -> Row:
        number = max(_CONNECTIONS, int(count * scale))

        @cache
        def made(_: int) -> Load:
            requests = maker.requests(number, pdus)
            return load.write(folder / f"put-{pdus}", requests, _CONNECTIONS)

        @cache
        def made_in_room(_: int) -> Load:
            requests = maker.requests(number, pdus, room)
            return load.write(folder / f"room-{pdus}", requests, _CONNECTIONS)

        loads = dict.fromkeys((OURS, *AGAIN, *yardsticks), made)
        if pdus:
            loads[IN_ROOM] = made_in_room
        servers = {**running, IN_ROOM: running[OURS]}
        row = _row(f"signed PUT, {pdus} PDUs", servers, loads)
        limit = partial(verification, 1 + pdus)
        return Row(row.what, row.unit, {**row.measures, LIBSODIUM: limit})

    # Synapse throws the PDUs of a room away that it is not in.
    return [
        row(0, 2000, LARGE, WORKERS, SYNAPSE, GO),
        row(1, 1500, LARGE, GO),
        row(50, 150, WORKERS, GO),
    ]


def sends(outbound: Outbound, receivers: int, scale: float) -> list[Row]:
    """Transactions of our own to others."""

    def row(count: int, transactions: int) -> Row:
        what = f"outbound PUT to {count} server{'s'[: count > 1]}"
        number = max(10 * count, int(transactions * scale))
        return Row(what, _US, {OURS: lambda _: outbound.measure(count, number)})

    return [row(1, 400), row(receivers, 1000)]


def starts(endpoint: Endpoint, running: Mapping[str, Server]) -> list[Row]:
    """From the start of a process until it listens; `endpoint` is one more of ours."""

    def start(_: int) -> Sample:
        with running_ours(endpoint) as server:
            return Sample(server.starting)

    def occupy(_: int) -> Sample:
        with running_ours(endpoint) as server:
            return Sample(server.idle)

    starting = {each: _fixed(server.starting) for each, server in running.items()}
    idle = {each: _fixed(server.idle) for each, server in running.items()}
    return [
        Row("start until it listens", "s CPU", {**starting, OURS: start}),
        Row("resident memory, idle", "MB", {**idle, OURS: occupy}),
    ]


def ends(running: Mapping[str, Server]) -> list[Row]:
    """The memory of the servers after all other rows."""

    def occupied(server: Server, _: int) -> Sample:
        return Sample(resident_megabytes(server.pid))

    return [
        Row(
            "resident memory, after all this",
            "MB",
            {name: partial(occupied, server) for name, server in running.items()},
        )
    ]


def _row(
    what: str,
    running: Mapping[str, Server],
    loads: Mapping[str, Callable[[int], Load]],
) -> Row:
    """A row for the running servers of `loads`, each with its load of a round."""

    def measure(server: Server, made: Callable[[int], Load], number: int) -> Sample:
        return load.run(server, made(number))

    return Row(
        what,
        _US,
        {
            name: partial(measure, running[name], made)
            for name, made in loads.items()
            if name in running
        },
    )


def _fixed(value: float) -> Callable[[int], Sample]:
    return lambda _: Sample(value)

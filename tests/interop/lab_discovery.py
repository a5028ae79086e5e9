"""A lab in a network of its own: names for each way of discovery, and what is answered.

Run by `nsenter`, it starts a lab and answers lines of JSON: the first one with what
Synapse has to trust, the second one, with Synapse running, with what came of a
transaction of each name. Synapse answers 200 to those whose keys it has fetched, so it
has found each of them. For each name, the records of every other way lead nowhere.

Specification: Server-server API, "Resolving server names".
"""

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeserver.testing import Lab
from homeserver.testing.server import Server

SYNAPSE = "synapse.test:7000"
SYNAPSE_LISTENS = "127.0.0.3:7000"

_LAB = "127.0.0.4"
_KEYS = "/_matrix/key/v2/server"
_PARALLEL = 8  # requests at once: what a small deployment sees
_TO_NAME = "{name} A"
_NOT_BY_SRV = "_matrix-fed._tcp.{name} SRV 0 0 1 {name}"
_NOT_BY_OLD_SRV = "_matrix._tcp.{name} SRV 0 0 1 {name}"


@dataclass(frozen=True)
class Way:
    """How a name is found; `{name}` is the name, `{number}` one of its own."""

    name: str
    records: Sequence[str] = ()
    """DNS records; an A record without a value has the address of the lab."""

    delegate_to: str | None = None
    """The name in the well-known document; `{listen}` is the server's HOST:PORT."""

    host: str = "{name}"
    """The `Host` of a request that came by this way."""

    is_own: bool = False
    """Whether the server has a port of its own."""


WAYS = {
    "address": Way("127.0.0.{number}", is_own=True),
    "address with a port": Way(f"{_LAB}:0", is_own=True),
    "name with a port": Way(
        "n{number}.test:8448",
        [
            "n{number}.test A",
            "_matrix-fed._tcp.n{number}.test SRV 0 0 1 n{number}.test",
        ],
    ),
    "well-known, address with a port": Way(
        "n{number}.test", [_TO_NAME, _NOT_BY_SRV], "{listen}", "{listen}", is_own=True
    ),
    "well-known, name with a port": Way(
        "n{number}.test",
        [
            _TO_NAME,
            _NOT_BY_SRV,
            "matrix.{name} A",
            "_matrix-fed._tcp.matrix.{name} SRV 0 0 1 {name}",
        ],
        "matrix.{name}:443",
        "matrix.{name}:443",
    ),
    "well-known, _matrix-fed._tcp": Way(
        "n{number}.test",
        [
            _TO_NAME,
            _NOT_BY_SRV,
            "_matrix-fed._tcp.matrix.{name} SRV 0 0 443 srv.{name}",
            "_matrix._tcp.matrix.{name} SRV 0 0 1 srv.{name}",
            "srv.{name} A",
        ],
        "matrix.{name}",
        "matrix.{name}",
    ),
    "well-known, _matrix._tcp": Way(
        "n{number}.test",
        [
            _TO_NAME,
            _NOT_BY_SRV,
            "_matrix._tcp.matrix.{name} SRV 0 0 443 srv.{name}",
            "srv.{name} A",
        ],
        "matrix.{name}",
        "matrix.{name}",
    ),
    "well-known, port 8448": Way(
        "n{number}.test",
        [_TO_NAME, _NOT_BY_SRV, "matrix.{name} A"],
        "matrix.{name}",
        "matrix.{name}",
    ),
    "_matrix-fed._tcp": Way(
        "n{number}.test",
        [
            "_matrix-fed._tcp.{name} SRV 0 0 443 srv.{name}",
            "srv.{name} A",
            _NOT_BY_OLD_SRV,
        ],
    ),
    "_matrix._tcp": Way(
        "n{number}.test",
        ["_matrix._tcp.{name} SRV 0 0 443 srv.{name}", "srv.{name} A"],
    ),
    "port 8448": Way("n{number}.test", [_TO_NAME]),
}


def make(lab: Lab, way: Way, number: int) -> tuple[Server, str]:
    """A server that is found by one way alone, and the `Host` that shows it."""
    wanted = way.name.format(number=number)
    members: dict[str, Any] = {"listen": "own" if way.is_own else "shared"}
    if way.records:
        members["dns"] = [
            _record(each.format(name=wanted, number=number)) for each in way.records
        ]
    server = lab.server(wanted, **members)
    words = {"name": server.name, "number": number, "listen": server.listen}
    if way.delegate_to is not None:
        server.change(well_known={"m.server": way.delegate_to.format(**words)})
    return server, way.host.format(**words)


def _record(text: str) -> dict[str, str]:
    name, kind, *value = text.split(" ", 2)
    return {"name": name, "type": kind, "value": value[0] if value else _LAB}


def ask(lab: Lab, way: str, server: Server, host: str) -> dict[str, Any]:
    """What came of an empty transaction, and by which `Host` the keys were fetched."""
    response = server.request(
        SYNAPSE,
        "/_matrix/federation/v1/send/1",
        method="PUT",
        content={
            "origin": server.name,
            "origin_server_ts": time.time_ns() // 1_000_000,
            "pdus": [],
            "edus": [],
        },
    )
    fetches = server.exchanges(direction="in", path=_KEYS, status=200)
    hosts = [
        value
        for each in fetches
        for name, value in lab.exchange(each.id)["request"]["headers"]
        if name.lower() == "host"
    ]
    return {
        "way": way,
        "status": response.status,
        "content": response.content,
        "verified_by": response.verified_by,
        "hosts": sorted(set(hosts)),
        "expected_host": host,
    }


def main() -> None:
    """Answer the two lines; arguments: the folder of Synapse, how many names."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    with Lab("--listen", f"{_LAB}:8448", "--dns", "127.0.0.1:53") as lab:
        certificate, key = lab.certificate(SYNAPSE)
        (folder / "tls.crt").write_text(certificate)
        (folder / "tls.key").write_text(key)
        host, _, _ = SYNAPSE.partition(":")
        address, _, _ = SYNAPSE_LISTENS.partition(":")
        lab.server(dns=[{"name": host, "type": "A", "value": address}])
        sys.stdin.readline()
        _say({"ca_file": lab.ca_file})
        if not sys.stdin.readline():
            return  # Synapse has not started
        begun = time.monotonic()
        made = []
        for number in range(count):
            way = list(WAYS)[number % len(WAYS)]
            made.append((way, *make(lab, WAYS[way], 20 + number)))
        with ThreadPoolExecutor(_PARALLEL) as pool:
            answers = list(pool.map(lambda each: ask(lab, *each), made))
        seconds = time.monotonic() - begun
        _say({"seconds": seconds, "answers": answers})


def _say(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

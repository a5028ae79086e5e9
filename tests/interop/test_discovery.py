"""How Synapse and we find each other, by every step of today's algorithm.

In a network of their own, each name has just the records that the step needs, so that
by no other way anybody is reached. Where a step comes before another one, the records
of that other one lead nowhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from scripts.processes import LOOPBACK, first_line, free_ports, running_nameserver
from scripts.synapse import Synapse
from tests.interop.conftest import Pair
from tests.support.ipv6 import skip_without
from tests.support.network_namespace import NAMESERVER, network
from tests.support.synapse_servers import EDU, Neighbourhood
from tests.support.synapse_users import User

SYNAPSE = "synapse.test"
SYNAPSE_SITE = "127.0.0.2"  # where it listens on 443
SYNAPSE_HOME = "127.0.0.3"  # where it listens on 8448 and 7000
OURS = "127.0.0.4"

_numbers = count()


@dataclass(frozen=True)
class Way:
    """How the two servers are found; `{name}` is the name of one."""

    records: Sequence[str]
    """Of each of them; `{address}` is where it listens."""

    our_port: int
    synapse_address: str
    synapse_route: tuple[str, int]
    """Where we are to find Synapse."""

    delegate_to: str = ""
    """Where we say that we are to be found; Synapse says that it is on 443."""


NOT_BY_SRV = "_matrix-fed._tcp.{name} SRV 0 0 1 {name}"
NOT_BY_OLD_SRV = "_matrix._tcp.{name} SRV 0 0 1 srv.{name}"

WAYS = {
    "port 8448": Way(["{name} A {address}"], 8448, SYNAPSE_HOME, (SYNAPSE, 8448)),
    "_matrix-fed._tcp": Way(
        [
            "_matrix-fed._tcp.{name} SRV 0 0 7000 srv.{name}",
            "srv.{name} A {address}",
            NOT_BY_OLD_SRV,
        ],
        7000,
        SYNAPSE_HOME,
        (f"srv.{SYNAPSE}", 7000),
    ),
    "_matrix._tcp": Way(
        ["_matrix._tcp.{name} SRV 0 0 7000 srv.{name}", "srv.{name} A {address}"],
        7000,
        SYNAPSE_HOME,
        (f"srv.{SYNAPSE}", 7000),
    ),
    "well-known": Way(
        ["{name} A {address}", "matrix.{name} A {address}", NOT_BY_SRV],
        443,
        SYNAPSE_SITE,
        (SYNAPSE, 443),
        delegate_to="matrix.{name}:443",
    ),
    "well-known, then SRV": Way(
        [
            "{name} A {address}",
            "_matrix-fed._tcp.matrix.{name} SRV 0 0 443 srv.{name}",
            "srv.{name} A {address}",
            NOT_BY_SRV,
        ],
        443,
        SYNAPSE_SITE,
        (SYNAPSE, 443),
        delegate_to="matrix.{name}",
    ),
}


@dataclass(frozen=True)
class Island:
    """A network of its own, and Synapse in it."""

    folder: Path
    within: tuple[str, ...]
    neighbourhood: Neighbourhood
    synapse: Synapse
    alice: User


@pytest.fixture(scope="module")
def island(
    installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Island]:
    """The network; its name server is for each test to run."""
    folder = tmp_path_factory.mktemp("island")
    with network(folder) as within:
        neighbourhood = Neighbourhood(folder, within)
        synapse = neighbourhood.make_synapse(
            SYNAPSE,
            f"{SYNAPSE_SITE}:443",
            f"{SYNAPSE_HOME}:8448",
            f"{SYNAPSE_HOME}:7000",
        )
        with synapse.running():
            alice = User.register(synapse, "alice")
            yield Island(folder, within, neighbourhood, synapse, alice)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_both_are_found(island: Island, way: Way) -> None:
    """We deliver to Synapse, which fetches our keys, and its user sees ours."""
    # Of each test another one: Synapse remembers what it has found.
    name = f"ours-{next(_numbers)}.test"
    delegated = way.delegate_to.format(name=name)
    ours = island.neighbourhood.make_endpoint(
        name, f"{OURS}:{way.our_port}", f'[discovery]\ndelegate_to = "{delegated}"\n'
    )
    island.neighbourhood.certify(name, f"matrix.{name}").write(ours.folder)
    zone = [
        record.format(name=server, address=address)
        for server, address in ((name, OURS), (SYNAPSE, way.synapse_address))
        for record in way.records
    ]
    log = island.folder / "nameserver.log"
    with (
        running_nameserver(NAMESERVER, zone, log, island.within),
        ours.running() as process,
    ):
        first_line(process)
        [resolution] = ours.ask("resolve", SYNAPSE)
        [route] = resolution["routes"]
        assert (route["host"], route["port"]) == way.synapse_route
        [state] = ours.ask("send", SYNAPSE, "--edu", EDU)
        assert (state["state"], state["reply"]) == ("delivered", {"pdus": {}})
        assert state["connection"]["verified_by"] == "certificate"
        profile = island.alice.do("GET", "profile", f"@bob:{name}")
        assert profile["displayname"] == "Bob"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_names_with_ports_need_no_records(pair: Pair, alice: User, host: str) -> None:
    """A name with a port, or an address, is connected to as it is."""
    skip_without(host.strip("[]"))
    [port] = free_ports(1)
    listen = f"{LOOPBACK if host == 'localhost' else host}:{port}"
    name = f"{host}:{port}"
    ours = pair.neighbourhood.make_endpoint(name, listen)
    with ours.running() as process:
        first_line(process)
        [state] = ours.ask("send", pair.synapse.name, "--edu", EDU)
        assert state["state"] == "delivered"
        profile = alice.do("GET", "profile", f"@bob:{name}")
        assert profile["displayname"] == "Bob"

"""Synapse and two endpoints of ours in one room, while they are cut off at times.

In the end all three have the same state. By hand, from another seed:

    EVENTS=1000 SEED=7 pytest --log-cli-level=INFO tests/interop/test_partitions.py
"""

import logging
import os
from collections.abc import Iterator

import pytest

from homeserver.config.reader import load
from homeserver.control.client import ControlClient
from scripts.processes import LOOPBACK, Endpoint, first_line, free_ports
from tests.support.islands import OurIsland, Sea, SynapseIsland, levels
from tests.support.synapse_servers import Neighbourhood
from tests.support.synapse_users import User

EVENTS = int(os.environ.get("EVENTS", "40"))
SEED = int(os.environ.get("SEED", "1"))

_RULES = "[lab]\nrules = true\n"


def island(endpoint: Endpoint) -> OurIsland:
    """One of ours."""
    path = endpoint.configuration
    return OurIsland.of_endpoint(
        endpoint.name, ControlClient.of_config(path, load(path))
    )


@pytest.fixture(scope="module")
def islands(
    installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[OurIsland, OurIsland, SynapseIsland]]:
    """All three, running."""
    neighbourhood = Neighbourhood(tmp_path_factory.mktemp("partitions"))
    names = [f"localhost:{port}" for port in free_ports(3)]
    ports = [name.partition(":")[2] for name in names]
    synapse = neighbourhood.make_synapse(names[0], f"{LOOPBACK}:{ports[0]}")
    one, two = (
        neighbourhood.make_endpoint(name, f"{LOOPBACK}:{port}", _RULES)
        for name, port in zip(names[1:], ports[1:], strict=True)
    )
    with synapse.running(), one.running() as first, two.running() as second:
        first_line(first)
        first_line(second)
        users = [User.register(synapse, name) for name in ("main", "guest")]
        yield island(one), island(two), SynapseIsland(synapse.name, *users)


@pytest.mark.parametrize("version", ["2", "6", "10", "11", "12"])
def test_partitions(
    islands: tuple[OurIsland, OurIsland, SynapseIsland], version: str
) -> None:
    """All states are equal in the end, event by event."""
    first, second, synapse = islands
    room_id = first.create(version, levels(version, first, [second, synapse]))
    first.join(room_id, first.name)
    second.join(room_id, first.name)
    synapse.join(room_id, first.name)
    sea = Sea(islands, SEED)
    while sea.sent < EVENTS:
        sea.step()
    sea.settle()
    sea.check()
    logging.getLogger(__name__).info(sea.told)

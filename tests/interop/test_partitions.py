"""Synapse and three endpoints of ours in one room, while they are cut off at times.

In the end all four have the same state. By hand, from another seed:

    EVENTS=1000 SEED=7 pytest --log-cli-level=INFO tests/interop/test_partitions.py
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from homeserver.config.reader import load
from homeserver.control.client import ControlClient
from scripts.processes import LOOPBACK, Endpoint, first_line, free_ports
from tests.support.islands import OurIsland, SynapseIsland
from tests.support.partitions import Sea, levels
from tests.support.synapse_servers import Neighbourhood
from tests.support.synapse_users import User

EVENTS = int(os.environ.get("EVENTS", "40"))
SEED = int(os.environ.get("SEED", "1"))

OURS = 3
"""Endpoints of ours."""

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
) -> Iterator[tuple[list[OurIsland], SynapseIsland]]:
    """All of them, running."""
    neighbourhood = Neighbourhood(tmp_path_factory.mktemp("partitions"))
    port, *ports = free_ports(1 + OURS)
    synapse = neighbourhood.make_synapse(f"localhost:{port}", f"{LOOPBACK}:{port}")
    ours = [
        neighbourhood.make_endpoint(f"localhost:{each}", f"{LOOPBACK}:{each}", _RULES)
        for each in ports
    ]
    with ExitStack() as stack:
        stack.enter_context(synapse.running())
        for each in ours:
            first_line(stack.enter_context(each.running()))
        users = [User.register(synapse, name) for name in ("main", "guest")]
        yield [island(x) for x in ours], SynapseIsland(synapse.name, *users)


@pytest.mark.parametrize("version", ["2", "6", "10", "11", "12"])
def test_partitions(
    islands: tuple[list[OurIsland], SynapseIsland], version: str
) -> None:
    """All states are equal in the end, event by event."""
    ours, synapse = islands
    first, *others = ours
    room_id = first.create(version, levels(version, first, [*others, synapse]))
    for each in ours:
        each.join(room_id, first.name)
    synapse.join(room_id, first.name)
    sea = Sea([*ours, synapse], SEED)
    while sea.sent < EVENTS:
        sea.step()
    sea.settle()
    sea.check()
    logging.getLogger(__name__).info(sea.told)

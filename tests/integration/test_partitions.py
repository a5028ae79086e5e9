"""Servers of ours in one room, while the network between them parts and meets again.

In the end all have the same state. A few dozen events here; by hand, from another seed:

    EVENTS=1000 SEED=7 pytest --log-cli-level=INFO tests/integration/test_partitions.py
"""

import logging
import os

import pytest

from homeserver.testing import Lab
from tests.support.islands import OurIsland
from tests.support.partitions import Sea, levels

EVENTS = int(os.environ.get("EVENTS", "60"))
SEED = int(os.environ.get("SEED", "1"))


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_partitions(version: str) -> None:
    """All states are equal in the end."""
    with Lab() as lab:
        islands = [OurIsland.of_lab(lab.link, each) for each in lab.servers(3)]
        first, *others = islands
        room_id = first.create(version, levels(version, first, others))
        for each in islands:
            each.join(room_id, first.name)
        sea = Sea(islands, SEED)
        while sea.sent < EVENTS:
            sea.step()
        sea.settle()
        sea.check()
        assert sea.parted
        logging.getLogger(__name__).info(sea.told)

"""A daemon of ours, and the planted server beside it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from scripts.processes import Endpoint, first_line, make_endpoint
from tests.planted.server import PlantedServer

OURS = "ours.test"

CONFIGURATION = """
[limits]
trusted_clients = ["127.0.0.0/8"]

[network]
allow = ["127.0.0.0/8"]

[events]
default_room_version = "10"
"""

Planting = Callable[..., AbstractContextManager[PlantedServer]]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A daemon of ours, which trusts the clients of this machine."""
    folder = tmp_path_factory.mktemp("ours") / "ours"
    endpoint = make_endpoint(folder, OURS, CONFIGURATION)
    with endpoint.running() as process:
        first_line(process)
        yield endpoint


@pytest.fixture
def planted(tmp_path: Path, ours: Endpoint) -> Planting:
    """Runs a planted server with mistakes."""

    def plant(*faults: str) -> AbstractContextManager[PlantedServer]:
        addresses = {OURS: ours.port}
        return PlantedServer(tmp_path, frozenset(faults), addresses).running()

    return plant

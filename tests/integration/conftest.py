"""What many tests with real processes need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.testing import Lab
from tests.support.foreign_clients import CLIENTS, Client, client_of
from tests.support.wrong_certificates import CA


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab for the tests of a module: each has servers of its own."""
    with Lab() as running:
        yield running


@pytest.fixture(scope="module", params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Each client that others wrote."""
    with client_of(request.param) as asking:
        yield asking


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    """The file of the authority that is trusted."""
    path = tmp_path / "ca.pem"
    path.write_bytes(CA.pem)
    return path

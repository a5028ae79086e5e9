"""What many tests with real processes need."""

from collections.abc import Iterator

import pytest

from homeserver.testing import Lab
from tests.support.foreign_clients import CLIENTS, Client, client_of


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

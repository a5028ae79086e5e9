"""A name server of a lab, with a zone."""

from collections.abc import Iterator

import pytest

from homeserver.lab.dns_server.zone import Zone
from tests.support.lab_name_server import RECORDS, Lab, start
from tests.support.waiting import wait


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A name server with the zone."""
    zone = Zone("lab.test")
    zone.add(RECORDS)
    started = start(zone.answer)
    yield started
    wait(started.server.stop())

"""The reader of the vectors."""

import pytest

from tests.protocol.rooms.vectors import Vectors


@pytest.mark.parametrize("version", [1, 2, 6, 10, 12])
def test_event_ids(version: int) -> None:
    """The events of each file have the IDs that the file gives."""
    vectors = Vectors(f"state-{version}.json")
    assert len(vectors.events) >= 19
    assert vectors.room_version.version == str(version)

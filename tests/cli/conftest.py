"""A daemon that answers as the test says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.canned_control import CannedControl, canned_control
from tests.support.commands import ANSWERS, configured


@pytest.fixture
def control() -> Iterator[CannedControl]:
    """A daemon that answers."""
    with canned_control(dict(ANSWERS)) as control:
        yield control


@pytest.fixture
def path(tmp_path: Path, control: CannedControl) -> Path:
    """The configuration of that daemon."""
    return configured(tmp_path, control.address)

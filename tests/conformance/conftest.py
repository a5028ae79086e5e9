"""The stage that the tests of a module share."""

from collections.abc import Iterator

import pytest

from tests.support.conformance_stage import Stage, stage


@pytest.fixture(scope="module")
def on_stage() -> Iterator[Stage]:
    """A lab; each run has a target of its own beside it."""
    with stage() as running:
        yield running

"""The stage that the tests of a module share."""

from collections.abc import Iterator

import pytest

from tests.support.conformance_stage import Stage, stage


@pytest.fixture(scope="module")
def on_stage(pytestconfig: pytest.Config) -> Iterator[Stage]:
    """A lab; each run has a target of its own beside it."""
    with stage(is_whole=pytestconfig.getoption("--whole")) as running:
        yield running

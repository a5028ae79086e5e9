"""The page about faults."""

import pytest

from homeserver.lab.faults.registry import FAULTS
from scripts.faults_page import PAGE, build_page


def test_the_page_is_current() -> None:
    """The page is what the code makes of it; `scripts/faults_page` renews it."""
    assert PAGE.read_text("utf-8") == build_page(), "run scripts/faults_page"


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_says_what_it_is(name: str) -> None:
    """Sentences say what the answer is, and what a right server does."""
    fault = FAULTS[name]
    assert fault.summary.endswith(".")
    assert fault.right.endswith(".")

"""The page about checks."""

import pytest

from homeserver.conformance.check import Check, Severity
from homeserver.conformance.registry import all_checks
from scripts.checks_page import PAGE, build_page

CHECKS = all_checks()


def test_the_page_is_current() -> None:
    """The page is what the checks make of it; `scripts/checks_page` renews it."""
    assert PAGE.read_text("utf-8") == build_page(), "run scripts/checks_page"


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_each_check_says_its_rule(check: Check) -> None:
    """It is a sentence, and what binds has a section with a link."""
    assert check.rule.endswith(".")
    if check.severity in {Severity.MUST, Severity.SHOULD}:
        assert check.link, check.section

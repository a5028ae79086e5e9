"""The mistakes of events, as the page has them."""

from pathlib import Path

import pytest

from homeserver.lab.spoil.events import EVENT_SPOILS


@pytest.mark.parametrize("name", EVENT_SPOILS)
def test_each_mistake_says_what_is_right(name: str) -> None:
    """A sentence says what it is, and another what a right server does."""
    each = EVENT_SPOILS[name]
    assert each.summary.endswith(".")
    assert each.right.startswith("A right server ")
    assert each.right.endswith(".")


def test_the_page_has_each_mistake() -> None:
    """The table in docs/testing.md is that of the registry."""
    page = Path("docs/testing.md").read_text("utf-8")
    for name, each in EVENT_SPOILS.items():
        assert f"| `{each.usage(name)}` | {each.summary} | {each.right} |" in page

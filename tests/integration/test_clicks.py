"""The clicks of the tests of a page, where the page moves meanwhile."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.browser_tab import Tab
from tests.support.chromium import PROGRAM, Browser

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="chromium is not installed (Debian: apt install chromium)"
)

PAGE = """<!doctype html><body><button>one</button><br><button>two</button><script>
let clicked = [];
addEventListener("click", (event) => clicked.push(event.target.innerText));
</script>"""

MOVES = "document.body.prepend(document.querySelectorAll('button')[1])"
REPLACED = "document.body.innerHTML = document.body.innerHTML"


@pytest.fixture
def tab() -> Iterator[Tab]:
    """A page with two buttons that tells what was clicked."""
    with Browser() as browser:
        yield browser.open(f"data:text/html,{quote(PAGE)}")


@pytest.mark.parametrize("change", [MOVES, REPLACED])
@pytest.mark.parametrize("when", ["mousePressed", "mouseReleased"])
def test_a_page_that_changes(
    tab: Tab, monkeypatch: pytest.MonkeyPatch, change: str, when: str
) -> None:
    """What was meant is clicked once, and nothing else."""
    call, changes = tab.call, [change]

    def changing(method: str, **params: Any) -> Any:
        if params.get("type") == when and changes:
            tab.evaluate(changes.pop())
        return call(method, **params)

    monkeypatch.setattr(tab, "call", changing)
    tab.click("button", "one")
    assert changes == []
    assert tab.evaluate("clicked") == ["one"]

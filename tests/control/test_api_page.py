"""The page about the control API is what the code makes of it."""

from scripts.api_page import PAGE, build_page
from tests.support.api_examples import collect
from tests.support.control_side import Panel
from tests.support.lab_routes import lab_table


def test_up_to_date() -> None:
    """The page is current; `scripts/api_page` renews it."""
    assert PAGE.read_text("utf-8") == build_page(), "run scripts/api_page"


def test_routes_of_a_lab() -> None:
    """Each route that a lab adds is there."""
    page = PAGE.read_text("utf-8")
    for each in lab_table():
        assert f"\n## `{each.method} {each.template}`\n" in page


def test_examples() -> None:
    """Each route that answers in JSON has an example, which is a success."""
    examples = collect()
    routes = {(each.method, each.template) for each in Panel().table}
    assert examples.keys() == routes - {("GET", "/metrics")}
    assert {each.answer.status for each in examples.values()} == {200, 202}

"""What is written of the metrics is of those that there are."""

import json
import re
from collections.abc import Iterator
from typing import Any

from homeserver.monitoring.metrics import Metrics
from scripts.metrics_page import PAGE, build_page
from tests.support.metric_series import families

_DASHBOARD = PAGE.parent.parent / "conf" / "grafana.json"

# A series of ours or of the process, and what is between its braces.
_SERIES = re.compile(r"\b((?:homeserver|process)_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)=")
_BY = re.compile(r"by \(([^)]*)\)")

# Those that Prometheus adds, and that its functions make of histograms.
_COMMON = {"instance", "le"}


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    found: dict[str, Any] = json.loads(_DASHBOARD.read_text("utf-8"))
    return found


def expressions() -> Iterator[str]:
    """What the dashboard asks Prometheus for."""
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    for variable in dashboard()["templating"]["list"]:
        yield from [variable["definition"]] if "definition" in variable else []


def known() -> dict[str, set[str]]:
    """The labels of each series that there can be."""
    series: dict[str, set[str]] = {}
    for each in Metrics().registry.described:
        suffixes = ("_bucket", "_sum", "_count") if each.kind == "histogram" else ("",)
        for suffix in suffixes:
            series[each.name + suffix] = {*each.labels, *_COMMON}
    for family in families(Metrics().registry.expose()):
        for sample in family.samples:
            series.setdefault(sample.name, {*sample.labels, *_COMMON})
    return series


def test_page_is_up_to_date() -> None:
    """The page is what the code makes of it; `scripts/metrics_page` renews it."""
    assert PAGE.read_text("utf-8") == build_page(), "run scripts/metrics_page"


def test_dashboard_asks_for_what_there_is() -> None:
    """Each series on the dashboard is one that is exposed, with the labels it has."""
    series = known()
    asked = list(expressions())
    assert len(asked) > 15
    for expression in asked:
        named = _SERIES.findall(expression)
        assert named, expression
        for name, braces in named:
            assert name in series, expression
            assert set(_LABEL.findall(braces)) <= series[name], expression
            for group in _BY.findall(expression):
                assert set(group.split(", ")) <= series[name], expression


def test_dashboard_shows_all_there_is() -> None:
    """Nothing is measured that the dashboard does not show."""
    shown = {name for each in expressions() for name, _ in _SERIES.findall(each)}
    for each in Metrics().registry.described:
        assert any(name.startswith(each.name) for name in shown), each.name


def test_dashboard_is_one_that_grafana_takes() -> None:
    """Each panel has an ID of its own, and a place where no other one is."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y)
            for x in range(place["w"])
            for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells

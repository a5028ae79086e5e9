"""The page about the metrics, made from their descriptions in the code."""

from collections.abc import Sequence
from pathlib import Path

from homeserver.monitoring.metrics import Metrics
from homeserver.monitoring.registry import Described

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"

_HEAD = """\
# Metrics

`GET /metrics` of the control API, with its token, has these for Prometheus:

    scrape_configs:
      - job_name: homeserver
        authorization: { credentials_file: /var/lib/example/control.token }
        static_configs: [{ targets: ["127.0.0.1:8008"] }]

[conf/grafana.json](../conf/grafana.json) is a dashboard of them. No label names a
server; `route` is the template of a path, or `other` where nothing is. A histogram has
the series `_bucket`, `_sum` and `_count`. The `process_*` metrics of Prometheus' client
library come besides.

This page is made by `scripts/metrics_page`; change the code, not the page.

| metric | type | labels | what it says |
|---|---|---|---|
"""


def build_page() -> str:
    """The whole page."""
    return _HEAD + "".join(map(_row, Metrics().registry.described))


def _row(described: Described) -> str:
    labels = "; ".join(_label(*each) for each in described.labels.items())
    return (
        f"| `{described.name}` | {described.kind} | {labels or '-'} | "
        f"{described.help} |\n"
    )


def _label(name: str, values: Sequence[str]) -> str:
    if not values:
        return f"`{name}`"
    return f"`{name}`: " + ", ".join(f"`{value}`" for value in values)


if __name__ == "__main__":
    PAGE.write_text(build_page(), "utf-8")
    print(PAGE)

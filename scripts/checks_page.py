"""The page about the checks of `homeserver conform`, made from their code."""

from itertools import groupby
from pathlib import Path

from homeserver.conformance.check import SPECIFICATION, Check
from homeserver.conformance.registry import all_checks, title_of

PAGE = Path(__file__).parent.parent / "docs" / "checks.md"

_HEAD = """\
# Checks

`homeserver conform` has {count} checks; [conformance.md](conformance.md) tells how they
are run. The rules are those of the specification, {specification}. A check is not
testable where what it needs is not there, or where a check that it comes after did not
pass. One of `robustness` that is not met is a warning; one of `info` reports a choice.

This page is made by `scripts/checks_page`; change the code, not the page.
"""

_AREA = """
## {area}: {title}

| check | severity | rule | section | needs | after |
|---|---|---|---|---|---|
"""


def build_page() -> str:
    """The whole page."""
    checks = all_checks().values()
    page = _HEAD.format(count=len(checks), specification=SPECIFICATION)
    for area, members in groupby(checks, lambda each: each.area):
        page += _AREA.format(area=area, title=title_of(area))
        page += "".join(map(_row, members))
    return page


def _row(check: Check) -> str:
    section = f"[{check.section}]({check.link})" if check.link else check.section
    cells = [
        check.id,
        check.severity.value,
        check.rule,
        section,
        "; ".join(each.text for each in check.needs),
        ", ".join(check.after),
    ]
    return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(build_page(), "utf-8")
    print(PAGE)

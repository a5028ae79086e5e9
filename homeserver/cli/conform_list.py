"""The table of all checks, and the explanation of one.

Rules: as in `conform`, whose module loads this one.
"""

from collections.abc import Sequence

from homeserver.cli.options import fail
from homeserver.conformance.registry import UnknownCheck, all_checks, select, title_of
from homeserver.protocol.shapes import did_you_mean


def table(only: Sequence[str], skip: Sequence[str]) -> str:
    """The chosen checks, a line each, below the titles of their areas."""
    try:
        chosen = select(all_checks(), only, skip)
    except UnknownCheck as problem:
        fail(2, str(problem))
    lines: list[str] = []
    area = ""
    for check in chosen:
        if check.area != area:
            area = check.area
            lines.append(f"{area}  {title_of(area)}")
        lines.append(f"  {check.id:7} {check.severity.value:10} {check.rule}")
    return "\n".join(lines)


def explain(check_id: str) -> str:
    """One check: its rule, where that stands, what it needs."""
    known = all_checks()
    check = known.get(check_id)
    if check is None:
        meant = did_you_mean(check_id, list(known))
        fail(2, f"--explain: no check is called {check_id!r}{meant or '; see --list'}")
    lines = [f"{check.id}: {check.rule}", f"severity: {check.severity.value}"]
    if check.section:
        lines.append(f"section: {check.section}")
    if check.link:
        lines.append(f"text: {check.link}")
    lines += [f"needs: {need.text}" for need in check.needs]
    lines += [f"comes after: {each} ({known[each].rule})" for each in check.after]
    if check.waits:
        lines.append(f"waits: about {check.waits:g} s")
    return "\n".join(lines)

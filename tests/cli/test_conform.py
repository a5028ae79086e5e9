"""`homeserver conform`: the options that list and explain, and what it refuses."""

import pytest

from homeserver.conformance.registry import all_checks
from tests.support.commands import failed, run


def test_list() -> None:
    """Each check has a line below the title of its area."""
    done = run("conform", "--list")
    lines = done.stdout.splitlines()
    assert (done.exit_code, lines[0]) == (0, "K  Its own key document")
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert listed == list(all_checks())
    areas = {each.area for each in all_checks().values()}
    assert len(lines) == len(listed) + len(areas)


@pytest.mark.parametrize("check_id", ["D43", "O13", "Q28", "H11"])
def test_explain(check_id: str) -> None:
    """A check is explained: its severity, where its rule stands, what it needs."""
    known = all_checks()
    check = known[check_id]
    lines = [f"{check_id}: {check.rule}", f"severity: {check.severity.value}"]
    lines += [f"section: {check.section}"] * bool(check.section)
    lines += [f"text: {check.link}"] * bool(check.link)
    lines += [f"needs: {need.text}" for need in check.needs]
    lines += [f"comes after: {each} ({known[each].rule})" for each in check.after]
    lines += [f"waits: about {check.waits:g} s"] * bool(check.waits)
    done = run("conform", "--explain", check_id)
    assert (done.exit_code, done.stdout.splitlines()) == (0, lines)


def test_explained_checks_differ() -> None:
    """One of those above has everything that is explained, and one has nothing."""
    whole, least = (all_checks()[each] for each in ("D43", "H11"))
    assert all((whole.section, whole.link, whole.needs, whole.after, whole.waits))
    assert not any((least.section, least.link, least.needs, least.after, least.waits))


def test_unknown_check() -> None:
    """A check that there is not is no explanation, and a near one is proposed."""
    said = "--explain: no check is called 'K1'; did you mean 'K01'?\n"
    assert failed(run("conform", "--explain", "K1")) == (2, said)
    said = "--explain: no check is called 'nothing'; see --list\n"
    assert failed(run("conform", "--explain", "nothing")) == (2, said)


def test_no_target() -> None:
    """A run without a target is refused."""
    said = "TARGET is missing: the name of a homeserver\n"
    assert failed(run("conform")) == (2, said)

"""`homeserver conform`: the options that list and explain, and what it refuses."""

import os
from pathlib import Path

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


def test_list_of_some() -> None:
    """What is chosen is listed alone, and what no check is called is refused."""
    done = run("conform", "--list", "--only", "K", "--skip", "K0[2-9]")
    lines = done.stdout.splitlines()
    assert (done.exit_code, lines[0]) == (0, "K  Its own key document")
    assert [line.split()[0] for line in lines[1:]] == ["K01"]
    said = "no check is meant by 'ZZ'; --list shows them all\n"
    assert failed(run("conform", "--list", "--only", "ZZ")) == (2, said)


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


REFUSED = [
    (["--user", "bob"], "--user: not a user ID: 'bob' is not"),
    (["--room", "hall"], "--room: not a room ID: 'hall' is not"),
    (["--room", "#hall"], "--room: not a room alias: '#hall' is not"),
    (["--user", "@a:b"], "--user @a:b: it is none of 127.0.0.1:1, which"),
    (["--user", "@a:127.0.0.1"], "--user @a:127.0.0.1: it is none of 127.0.0.1:1"),
    (["--room", "#a:b"], "--room #a:b: it is none of 127.0.0.1:1, which"),
    (["--output", "/dev/null/x"], "--output /dev/null/x: there is no folder /dev/null"),
    (["--output", "{none}/x"], "{none}/x: there is no folder {none}"),
    (["--only", "K01", "--skip", "K"], "no check is left"),
]


@pytest.mark.parametrize(("words", "why"), REFUSED)
def test_refused_before_the_run(tmp_path: Path, words: list[str], why: str) -> None:
    """No server is asked, which would end with 3 here."""
    none = tmp_path / "none"
    told = [each.format(none=none) for each in words]
    status, said = failed(run("conform", "127.0.0.1:1", *told))
    assert (status, why.format(none=none) in said) == (2, True), said


def test_output_that_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before the run; nothing is made by that."""
    file = tmp_path / "report"
    monkeypatch.setattr(os, "access", lambda *_: False)
    said = f"--output {file}: it may not be written\n"
    assert failed(run("conform", "127.0.0.1:1", "--output", file)) == (2, said)
    assert list(tmp_path.iterdir()) == []

"""Lists of the daemon's entries: shown to their end, and counted."""

from pathlib import Path

import pytest

from tests.support.canned_control import CannedControl
from tests.support.commands import failed, run


def test_one_entry(path: Path) -> None:
    """One is not written as many."""
    done = run("peers", "-c", path, "--drop-all", "b.test")
    assert done.stdout == "dropped: 1 entry for b.test\n"


# (command, the lists of two pages and what comes after each)
PAGES: list[tuple[str, str, list[tuple[list[int], object]]]] = [
    ("received", "transactions", [([1, 2], 2), ([3], 3), ([], 3)]),
    ("peers", "peers", [([1, 2], "b"), ([3], None)]),
]


@pytest.mark.parametrize(("command", "member", "pages"), PAGES)
def test_pages(
    path: Path,
    control: CannedControl,
    command: str,
    member: str,
    pages: list[tuple[list[int], object]],
) -> None:
    """A list is shown to its end, each page once."""
    control.answers[f"GET /v1/{command}"] = [
        (200, {member: [{"id": each} for each in items], "next": following})
        for items, following in pages
    ]
    shown = run(command, "-c", path, "--json").stdout.splitlines()
    assert shown == ['{"id": 1}', '{"id": 2}', '{"id": 3}']
    asked = [request for request, _, _ in control.asked]
    after = [str(following) for _, following in pages[:-1]]
    assert all(f"after={x}" in y for x, y in zip(after, asked[1:], strict=True))


def test_nothing_to_drop(path: Path, control: CannedControl) -> None:
    """The empty queue of a peer is no failure, and an unknown peer is one."""
    control.answers["DELETE /v1/send/b.test"] = 200, {"dropped": 0}
    done = run("peers", "-c", path, "--drop-all", "b.test")
    assert (done.exit_code, done.stdout) == (0, "dropped: 0 entries for b.test\n")
    unknown = {"errcode": "M_NOT_FOUND", "error": "nothing is known of b.test"}
    control.answers["GET /v1/peers/b.test"] = 404, unknown
    done = run("peers", "-c", path, "--drop-all", "b.test")
    assert failed(done) == (1, "nothing is known of b.test\n")

"""Synapse has the verdicts of its committed report."""

import sys
from pathlib import Path
from subprocess import run

from tests.support.network_namespace import network

_TOP = Path(__file__).parent.parent.parent


def test_no_check_of_synapse_changes_its_verdict(
    installed: None, tmp_path: Path
) -> None:
    """None is worse, mended or new; `scripts/conform-synapse --write` renews them."""
    with network(tmp_path):
        pass  # Skips where this machine allows none.
    command = [sys.executable, "-m", "scripts.conform_synapse"]
    done = run(command, cwd=_TOP, capture_output=True, text=True, check=False)
    changes = [
        line
        for line in done.stderr.splitlines()
        if line.startswith(("worse: ", "mended: ", "new: "))
    ]
    assert changes == []
    assert done.returncode == 0, done.stderr

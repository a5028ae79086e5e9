"""Synapse beside a lab, with the lab's authority and name server in place."""

import sys
from collections import Counter
from pathlib import Path

from scripts.synapse import make_synapse
from tests.interop.lab_discovery import SYNAPSE, SYNAPSE_LISTENS, WAYS
from tests.support.json_lines import running
from tests.support.network_namespace import network

NAMES = 50
SECONDS = 150.0  # for what takes five; machines are shared


def test_synapse_finds_each_name_of_a_lab(installed: None, tmp_path: Path) -> None:
    """It answers 200 to all of them, found by each way of discovery."""
    folder = tmp_path / "synapse"
    folder.mkdir()
    with network(tmp_path) as within:
        program = [sys.executable, "-m", "tests.interop.lab_discovery"]
        with running([*within, *program, str(folder), str(NAMES)]) as lab:
            ca_file = Path(lab.ask("trust")["ca_file"])
            synapse = make_synapse(folder, SYNAPSE, [SYNAPSE_LISTENS], ca_file, within)
            with synapse.running():
                found = lab.ask("names")
    ways: Counter[str] = Counter()
    for each in found["answers"]:
        assert (each["status"], each["content"]) == (200, {"pdus": {}}), each
        assert each["verified_by"] == "certificate"
        assert each["hosts"] == [each["expected_host"]], each
        ways[each["way"]] += 1
    assert set(ways) == set(WAYS)
    assert ways.total() == NAMES
    assert found["seconds"] < SECONDS

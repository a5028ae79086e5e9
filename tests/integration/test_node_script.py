"""A script in another language starts a lab, and has its own homeserver judged."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.processes import LOOPBACK, PROGRAM, free_ports

FOLDER = Path(__file__).parent / "node"

# The largest of each, in lines.
SIZES = [("lab.mjs", 29), ("homeserver.mjs", 100)]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_script_reads_the_verdict() -> None:
    """One transaction is received; of the other, the wrong member is named."""
    [port] = free_ports(1)
    name = f"{LOOPBACK}:{port}"
    done = subprocess.run(
        ["node", "lab.mjs", str(PROGRAM), name],
        check=False,
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["good"] == {"status": 200, "content": {"pdus": {}}}
    assert found["bad"]["status"] == 401
    received, refused = found["matched"]
    assert (received["peer"], received["status"]) == (name, 200)
    assert (refused["peer"], refused["reason"]) == (name, "bad_signature")
    [hint] = refused["hints"]
    assert (hint["code"], hint["received"], hint["expected"]) == (
        "method",
        "put",
        "PUT",
    )
    assert found["other"] == []


@pytest.mark.parametrize(("file", "most"), SIZES)
def test_short(file: str, most: int) -> None:
    """The script and its homeserver are short, and need no package."""
    lines = (FOLDER / file).read_text().splitlines()
    assert len(lines) <= most
    imported = [line.rpartition(" ")[2] for line in lines if line.startswith("import ")]
    assert imported
    assert all(each.startswith(("'node:", "'./")) for each in imported)

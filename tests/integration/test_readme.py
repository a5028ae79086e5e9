"""The first steps of the README, as a newcomer takes them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent.parent / "README.md").read_text("utf-8")

STEPS = README.partition("## Test your server against it")[2].partition("\n## ")[0]


def block(begin: str) -> str:
    """The indented block that begins so."""
    found = re.search(
        rf"^ +{re.escape(begin)}.*?(?=\n\n)", STEPS, re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found[0]


@pytest.fixture
def told() -> Iterator[dict[str, str]]:
    """What a lab prints, by its names."""
    command = [sys.executable, "-m", "homeserver", "lab"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(7)]
        yield dict(line.split(": ", 1) for line in lines)
        process.terminate()
        process.wait(20)


def typed(command: str, **environment: str) -> str:
    """What bash prints for a command."""
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_the_first_refused_request(told: dict[str, str]) -> None:
    """The commands of the steps do what the README says that they do."""
    where = {
        "HOMESERVER_LAB": told["control"],
        "HOMESERVER_LAB_TOKEN": told["token"],
    }
    made = typed(block("curl -H"), **where)
    found = re.search(r'"server_name":"127\.0\.0\.1:(\d+)"', made)
    assert found is not None
    answer = typed(block("curl -sk").replace("PORT", found[1]))
    assert answer.strip() == block('{"errcode"').strip()
    refused = typed(f"{sys.executable} -m homeserver refused", **where)
    assert "malformed_header" in refused

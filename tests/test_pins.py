"""The pinned versions: all that an installation needs, each with its hashes."""

import re
import subprocess
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts.pin import FILE, SECTIONS, normal, read_pins

TOP = Path(__file__).parent.parent


def pins(*extras: str) -> str:
    """What an installation with extras gets."""
    command = [str(TOP / "scripts" / "pins"), *extras]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def needed(requirement: str, extras: set[str], seen: set[str]) -> None:
    """Add the names that a requirement needs here, with its own, to `seen`."""
    wanted = Requirement(requirement)
    environments = [{"extra": extra} for extra in extras or {""}]
    if wanted.marker and not any(map(wanted.marker.evaluate, environments)):
        return
    key = f"{normal(wanted.name)}[{','.join(sorted(wanted.extras))}]"
    if key in seen:
        return
    seen.add(key)
    for each in requires(wanted.name) or []:
        needed(each, wanted.extras, seen)


@pytest.mark.parametrize("extra", SECTIONS)
def test_all_that_is_needed_is_pinned(extra: str) -> None:
    """Each distribution that setup.cfg needs, and what that needs, has a version."""
    config = ConfigParser()
    config.read(TOP / "setup.cfg")
    listed = config["options"]["install_requires"].splitlines()
    if extra != "run":
        listed += config["options.extras_require"][extra].splitlines()
    seen: set[str] = set()
    try:
        for line in listed:
            if line and not line.startswith("#"):
                needed(line, set(), seen)
    except PackageNotFoundError as problem:
        pytest.skip(f"{problem.name} is not installed here")
    names = {name.partition("[")[0] for name in seen}
    assert names <= read_pins(pins(*([] if extra == "run" else [extra]))).keys()
    assert len(names) > 10


def test_each_version_has_its_hashes() -> None:
    """No line has a version without hashes; pip checks what it installs by them."""
    text = FILE.read_text("utf-8")
    blocks = re.findall(r"^\S+==.*\n(?:[ ]+\S.*\n)*", text, re.MULTILINE)
    assert set(read_pins("".join(blocks))) == set(read_pins(text))
    assert len(blocks) > 50
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


def test_what_runs_needs_no_tests() -> None:
    """Only what is asked for is installed."""
    assert "setuptools" in read_pins(pins())
    assert not {"pytest", "mypy", "psycopg"} & read_pins(pins()).keys()
    assert {"psycopg", "twisted"} <= read_pins(pins("postgres")).keys()
    everything = read_pins(pins(*SECTIONS))
    assert everything == read_pins(FILE.read_text("utf-8"))


def test_a_version_is_the_same_in_each_section() -> None:
    """A distribution in several sections has the same lines in each."""
    text = FILE.read_text("utf-8")
    found: dict[str, str] = {}
    for name, rest in re.findall(r"^(\S+)==(\S+)", text, re.MULTILINE):
        assert found.setdefault(name, rest) == rest

"""The tests in `docs/testing.md` are run as they stand there, in each language."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.testing import Lab

PAGE = Path(__file__).parent.parent.parent / "docs" / "testing.md"

# What compiles takes its time on a machine that does other things as well.
_SECONDS = 280


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """A lab, and a server of another lab as the server under test."""
    with Lab() as lab, Lab() as other:
        name = other.server(listen="own").name
        yield os.environ | {
            "HOMESERVER_LAB": lab.control,
            "HOMESERVER_LAB_TOKEN": lab.link.token,
            "HS": name,
            "HS_SEND": f"{other.control}/v1/servers/{name}/send/",
            "HS_TOKEN": other.link.token,
        }


def block(language: str) -> str:
    """The code of the page in a language."""
    found = re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    [code] = found
    return str(code)


def run(folder: Path, environment: dict[str, str], *command: str) -> str:
    """Run a command in a folder; what it prints, if it ends well."""
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def needs(tool: str) -> pytest.MarkDecorator:
    """Skip where a language's tool is not installed."""
    why = f"{tool} is not installed"
    return pytest.mark.skipif(shutil.which(tool) is None, reason=why)


def test_python(environment: dict[str, str], tmp_path: Path) -> None:
    """The fixtures of the plugin do it."""
    (tmp_path / "test_hs.py").write_text(block("python"))
    options = ["-q", "-p", "no:cacheprovider", "-o", "matrix_lab_listen=own"]
    command = [sys.executable, "-m", "pytest", *options, "test_hs.py"]
    assert "3 passed" in run(tmp_path, environment, *command)


@needs("node")
def test_javascript(environment: dict[str, str], tmp_path: Path) -> None:
    """`node:test` and `fetch` do it."""
    (tmp_path / "hs.test.mjs").write_text(block("javascript"))
    assert "# pass 3" in run(tmp_path, environment, "node", "--test", "hs.test.mjs")


@needs("go")
def test_go(environment: dict[str, str], tmp_path: Path) -> None:
    """The standard library does it."""
    (tmp_path / "hs_test.go").write_text(block("go"))
    (tmp_path / "go.mod").write_text("module lab\n\ngo 1.21\n")
    found = run(tmp_path, environment, "go", "test", "-v", "-count=1", "./...")
    assert found.count("--- PASS") == 3


@needs("cargo")
def test_rust(environment: dict[str, str], tmp_path: Path) -> None:
    """The standard library does it."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "lib.rs").write_text("")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "hs.rs").write_text(block("rust"))
    manifest = '[package]\nname = "hs"\nversion = "0.1.0"\nedition = "2021"\n'
    (tmp_path / "Cargo.toml").write_text(manifest)
    found = run(tmp_path, environment, "cargo", "test", "--offline", "--test", "hs")
    assert "3 passed" in found


@pytest.mark.parametrize("language", ["python", "javascript", "go", "rust"])
def test_short(language: str) -> None:
    """Each is under thirty lines."""
    lines = [line for line in block(language).splitlines() if line.strip()]
    assert len(lines) < 30

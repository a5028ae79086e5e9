"""The wheel: what is in it, and that it works without the tree."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen
from zipfile import ZipFile

import pytest

from homeserver.testing import Lab
from tests.support.eventually import HANGING_SECONDS

TOP = Path(__file__).parent.parent.parent
PAGE = TOP / "homeserver" / "control" / "page" / "files"

_SOURCES = ["setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"]


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints; it must end well."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the tree, built in a copy of it."""
    pytest.importorskip("setuptools", reason="setuptools is not installed here")
    folder = tmp_path_factory.mktemp("source")
    for name in _SOURCES:
        shutil.copy(TOP / name, folder)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TOP / "homeserver", folder / "homeserver", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", "made"]
    run(*pip, "wheel", *options, ".", folder=folder)
    [made] = (folder / "made").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of an environment that has the wheel and no tree."""
    folder = tmp_path_factory.mktemp("installed")
    venv = folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, folder=folder)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--python", str(python), "install", "--no-deps", "--no-index"]
    run(*pip, *options, wheel, folder=folder)
    # What it needs is that of the tests; the tree itself is not on that path.
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(python, "-c", where, folder=folder).strip())
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = "import homeserver; print(homeserver.__file__)"
    assert str(venv) in run(python, "-c", where, folder=folder)
    yield venv / "bin"
    shutil.rmtree(folder)


def test_the_wheel_has_all_files(wheel: Path) -> None:
    """The page, the sample of the configuration, the store's tables and the types."""
    names = set(ZipFile(wheel).namelist())
    wanted = {"homeserver/config/sample.toml", "homeserver/py.typed"}
    wanted |= {f"homeserver/control/page/files/{each.name}" for each in PAGE.iterdir()}
    migrations = (TOP / "homeserver" / "storage" / "migrations").glob("*.sql")
    wanted |= {f"homeserver/storage/migrations/{each.name}" for each in migrations}
    modules = (TOP / "homeserver").rglob("*.py")
    wanted |= {str(each.relative_to(TOP)) for each in modules}
    assert wanted <= names
    assert not any(name.startswith(("tests/", "scripts/")) for name in names)


def test_the_sample_is_printed(installed: Path, tmp_path: Path) -> None:
    """`homeserver config` prints the commented configuration."""
    printed = run(installed / "homeserver", "config", folder=tmp_path)
    assert printed == (TOP / "conf" / "homeserver.toml").read_text("utf-8")


def test_the_manual_is_printed(installed: Path, tmp_path: Path) -> None:
    """`homeserver man` prints the page of the manual."""
    printed = run(installed / "homeserver", "man", folder=tmp_path)
    assert printed.startswith(".TH HOMESERVER 1")


def test_the_page_is_served(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab of the wheel serves each file of the page."""
    monkeypatch.setattr(sys, "executable", str(installed / "python"))
    monkeypatch.chdir(tmp_path)
    with Lab() as lab:
        for file in PAGE.iterdir():
            with urlopen(
                f"{lab.control}/page/{file.name}", timeout=HANGING_SECONDS
            ) as answer:
                assert answer.read() == file.read_bytes()
        with urlopen(lab.control, timeout=HANGING_SECONDS) as answer:
            assert answer.read() == (PAGE / "index.html").read_bytes()

"""The versions that the scripts, CI and the image install, with their hashes.

Rules: a section has what its extra needs beside what is needed to run, so that
a distribution can stand in several. The versions are chosen
by uv for every platform and every Python from 3.11 on.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from scripts.arguments import Arguments

TOP = Path(__file__).parent.parent
FILE = TOP / "constraints.txt"

SECTIONS = ("run", "postgres", "test", "dev")

_HEAD = """\
# Every version that the scripts, CI and the image install, so that a clone works the
# same next year, with the hashes of its files. `scripts/pin` writes this file, and
# `scripts/pins` prints the sections that an installation needs.
"""

_BUILD = "setuptools >= 77"  # as in pyproject.toml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def main() -> None:
    """Write the file."""
    parser = Arguments(prog="scripts/pin", description=__doc__)
    parser.add_argument(
        "--upgrade", action="store_true", help="take the latest versions"
    )
    options = parser.parse_args()
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is needed: pip install uv")
    kept = {} if options.upgrade else read_pins(FILE.read_text("utf-8"))
    versions = "".join(f"{name}=={version}\n" for name, version in kept.items())
    parts = [_HEAD]
    base: set[str] = set()
    for section in SECTIONS:
        extras = [] if section == "run" else ["--extra", section]
        found = _compile(uv, versions, extras)
        names = sorted(found.keys() - base)
        parts += [f"\n#: {section}\n", *(found[name] for name in names)]
        if section == "run":
            base = set(names)
    FILE.write_text("".join(parts), "utf-8")


def read_pins(text: str) -> dict[str, str]:
    """The versions of a file by name."""
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {normal(name): version for name, version in pinned}


def normal(name: str) -> str:
    """A name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _compile(uv: str, versions: str, extras: list[str]) -> Mapping[str, str]:
    """The lines of each distribution that setup.cfg needs, by name."""
    options = ["--quiet", "--universal", "--python-version", "3.11"]
    options += ["--generate-hashes", "--no-annotate", "--no-header"]
    with_versions = TOP / ".venv" / "pins.txt"
    build = TOP / ".venv" / "build.txt"
    with_versions.write_text(versions)
    build.write_text(_BUILD)
    command = [uv, "pip", "compile", *options, "--constraint", str(with_versions)]
    done = subprocess.run(
        [*command, *extras, "setup.cfg", str(build)],
        cwd=TOP,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    blocks = re.findall(r"^\S.*\n(?:[ ]+\S.*\n)*", done.stdout, re.MULTILINE)
    named = ((_NAME.match(block), block) for block in blocks)
    return {normal(name[0]): block for name, block in named if name is not None}


if __name__ == "__main__":
    main()

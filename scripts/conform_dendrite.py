"""`homeserver conform` against a real Dendrite, compared with its committed report.

Rules: DENDRITE in the environment names its program. It differs from its defaults as
`scripts.dendrite` says. The rest is in `conform_report`.
"""

import os
import sys
from pathlib import Path

from scripts.conform_report import Subject, main
from scripts.dendrite import REGISTRATION, make_dendrite
from scripts.restartable import Running


def _make(folder: Path, name: str, listen: str, ca_file: Path) -> Running:
    program = Path(os.environ["DENDRITE"])
    return make_dendrite(program, folder, name, listen, ca_file).running


if __name__ == "__main__":
    if "DENDRITE" not in os.environ:
        sys.exit("DENDRITE is not set: the path of the program `dendrite`")
    sys.exit(main(Subject("Dendrite", _make, REGISTRATION)))

"""`homeserver conform` against a real Synapse, compared with its committed report.

Rules: it differs from its defaults as `scripts.synapse` says, and trusts a notary of
ours. The rest is in `conform_report`.
"""

import sys
from pathlib import Path

from scripts.conform_report import NOTARY, Subject, main
from scripts.restartable import Running
from scripts.synapse import REGISTRATION, make_synapse


def _make(folder: Path, name: str, listen: str, ca_file: Path) -> Running:
    return make_synapse(folder, name, [listen], ca_file, notary=NOTARY).running


if __name__ == "__main__":
    sys.exit(main(Subject("Synapse", _make, REGISTRATION)))

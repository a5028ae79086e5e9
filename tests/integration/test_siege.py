"""A small siege: real daemons, under all attacks at once for seconds."""

import subprocess
import sys
from pathlib import Path

from scripts.sieges.attacks import ATTACKS

TOP = Path(__file__).parent.parent.parent


def test_siege() -> None:
    """Nothing honest is lost, doubled or held up, and every attack takes place.

    Ten seconds are more than an honest transaction takes, also where tests share the
    processors; `scripts/siege` by hand holds it to two.
    """
    command = [sys.executable, "-m", "scripts.siege"]
    command += ["--seconds", "8", "--intensity", "0.2", "--p99", "10"]
    done = subprocess.run(
        command, cwd=TOP, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("it held\n")
    for attack in ATTACKS:
        assert f'"{attack.__name__}": {{' in done.stdout

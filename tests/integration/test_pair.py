"""What the first command of the README does, as a newcomer runs it."""

import os
import signal
import subprocess
from pathlib import Path

TOP = Path(__file__).parent.parent.parent


def pair(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start the script; its temporary folder is made in `folder`."""
    return subprocess.Popen(
        [TOP / "scripts" / "pair", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


def test_pair_federates_both_ways_and_leaves_nothing(tmp_path: Path) -> None:
    """The pair shows every step of both ways, ends with 0 and cleans up."""
    process = pair(folder=tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    for origin, destination in (("alpha", "beta"), ("beta", "alpha")):
        assert f"{origin}.test sends {destination}.test a PDU and an EDU" in output
        assert f"srv _matrix._tcp.{destination}.test" in output
    assert output.count("verified by                      key-document") == 2
    assert output.count(": accepted\n") == 2
    assert output.count("EDU m.typing\n") == 2
    assert "Delivered and recorded both ways" in output
    assert list(tmp_path.iterdir()) == []


def test_kept_pair_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """A pair that is kept says how to talk to it and cleans up when it is ended."""
    process = pair("--keep", folder=tmp_path)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "received -c" in line:
            break
    else:
        process.wait()
    assert "The pair goes on until Ctrl-C" in "".join(lines)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert list(tmp_path.iterdir()) == []

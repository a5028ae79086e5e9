"""How a command ends whose output, or whose file, cannot be written or read."""

import errno
import io
from pathlib import Path

import click
import pytest

from homeserver.cli.ending import written_output
from tests.support.commands import configured, failed, run

# It has no memory at its beginning, so that it can be opened, and not read.
UNREADABLE = Path("/proc/self/mem")


class FullDisk(io.StringIO):
    """An output that cannot be written."""

    def write(self, text: str) -> int:
        """As `TextIO`."""
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.ENOENT])
def test_an_error_of_something_else(code: int) -> None:
    """Only `open` gives an error a file name, so that one without it is no sign."""
    problem = OSError(code, "something else")
    with pytest.raises(OSError) as caught, written_output():
        raise problem
    assert caught.value is problem


def test_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the output ends the command in a line."""
    monkeypatch.setattr("sys.stdout", FullDisk())
    with pytest.raises(SystemExit) as caught, written_output():
        click.echo("x")
    assert caught.value.code == 1
    said = "standard output cannot be written: No space left on device\n"
    assert capsys.readouterr().err == said


def test_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be closed."""
    monkeypatch.setattr("sys.stdout", None)
    with written_output():
        click.echo("x")


READERS = [
    ["explain", UNREADABLE],
    ["explain", "--room", UNREADABLE],
    ["explain", __file__, "--keys", UNREADABLE],
    ["lab", "--token-file", UNREADABLE],
]


@pytest.mark.skipif(not UNREADABLE.exists(), reason="there is no /proc/self/mem")
@pytest.mark.parametrize("words", READERS, ids=lambda words: " ".join(map(str, words)))
def test_a_file_that_cannot_be_read(words: list[object]) -> None:
    """It is a mistake of the caller, and not one of the output."""
    said = f"{UNREADABLE} cannot be read: Input/output error\n"
    assert failed(run(*words)) == (2, said)


@pytest.mark.skipif(not UNREADABLE.exists(), reason="there is no /proc/self/mem")
def test_a_transaction_that_cannot_be_read(tmp_path: Path) -> None:
    """Nothing is sent."""
    path = configured(tmp_path, "127.0.0.1:1")
    done = run("send", "-c", path, "b.test", "--transaction", UNREADABLE)
    said = f"{UNREADABLE} cannot be read: Input/output error\n"
    assert failed(done) == (2, said)

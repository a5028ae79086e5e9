"""How a command ends whose output, or whose file, cannot be written."""

import errno

import pytest

from homeserver.cli.ending import written_output

FULL = OSError(errno.ENOSPC, "No space left on device")
FILE = OSError(errno.ENOSPC, "No space left on device", "/x")
OTHER = OSError(errno.ENOENT, "No such file or directory")


@pytest.mark.parametrize("problem", [FILE, OTHER], ids=repr)
def test_what_is_not_about_the_output(problem: OSError) -> None:
    """An error of a file is not told as one of the output."""
    with pytest.raises(OSError) as caught, written_output():
        raise problem
    assert caught.value is problem


def test_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error without a file is one of the output."""
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(SystemExit) as caught, written_output():
        raise FULL
    assert caught.value.code == 1
    said = "standard output cannot be written: No space left on device\n"
    assert capsys.readouterr().err == said

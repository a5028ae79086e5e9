"""Which files with secrets others can read or write."""

from pathlib import Path

import pytest

from homeserver.identity.exposure import find_exposed

MODES = [
    (0o600, None),
    (0o400, None),
    (0o700, None),
    (0o640, 0o600),
    (0o604, 0o600),
    (0o644, 0o600),
    (0o620, 0o600),
    (0o601, 0o600),
    (0o444, 0o400),
]


@pytest.mark.parametrize(("mode", "better"), MODES)
def test_modes(tmp_path: Path, mode: int, better: int | None) -> None:
    """What group or others may do is said, with the mode that ends it."""
    path = tmp_path / "secret"
    path.touch()
    path.chmod(mode)
    said = list(find_exposed([path]))
    if better is None:
        assert said == []
    else:
        assert said == [
            (
                f"{path} is not for its owner alone (mode {mode:04o}); "
                f"chmod {better:04o} it"
            )
        ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is passed over, and hides nothing of the others."""
    path = tmp_path / "secret"
    path.touch()
    path.chmod(0o644)
    assert len(list(find_exposed([tmp_path / "missing", path, path]))) == 2

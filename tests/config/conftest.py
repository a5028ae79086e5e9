"""The folder that a configuration is in."""

from pathlib import Path

import pytest

NAMED_FILES = ("tls.crt", "tls.key", "signing.key", "control.token")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that a configuration names by default."""
    for name in NAMED_FILES:
        (tmp_path / name).touch()
    return tmp_path

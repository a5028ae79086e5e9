"""What the tests of an identity and of its files need."""

from pathlib import Path

import pytest

from tests.support.identity_folders import LEAF, SEED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of a good identity."""
    (tmp_path / "signing.key").write_text(f"ed25519 a_1 {SEED}\n")
    LEAF.write(tmp_path)
    return tmp_path

"""A store that does short jobs at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shortcut_stores import ShortcutStore


@pytest.fixture
def store(path: Path) -> Iterator[ShortcutStore]:
    """A database that is closed in the end."""
    store = ShortcutStore(path)
    yield store
    store.may_sync.set()
    store.close()

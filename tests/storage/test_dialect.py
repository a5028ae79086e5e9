"""One SQL for all engines: what each makes of it."""

import pytest

from homeserver.storage.dialect import for_sqlite

# (as it is written, as SQLite has it)
SQLITE = [
    ("SELECT a FROM t WHERE b = ?", "SELECT a FROM t WHERE b = ?"),
    ("SELECT a FROM t WHERE b = ? FOR UPDATE", "SELECT a FROM t WHERE b = ?"),
    ("SELECT a FROM t LIMIT ? FOR UPDATE SKIP LOCKED", "SELECT a FROM t LIMIT ?"),
    ("WITH x AS (SELECT 1 FOR UPDATE) SELECT 2", "WITH x AS (SELECT 1) SELECT 2"),
    ("SELECT ' FOR UPDATE'", "SELECT ' FOR UPDATE'"),
    ("SELECT 'it''s FOR UPDATE' FOR UPDATE", "SELECT 'it''s FOR UPDATE'"),
    ("SELECT 1 -- not FOR UPDATE\n", "SELECT 1 -- not FOR UPDATE\n"),
    ("SELECT a FOR UPDATES", "SELECT a FOR UPDATES"),
]


@pytest.mark.parametrize(("written", "translated"), SQLITE)
def test_for_sqlite(written: str, translated: str) -> None:
    """SQLite is told nothing of rows that are held; all else stays as it is."""
    assert for_sqlite(written) == translated

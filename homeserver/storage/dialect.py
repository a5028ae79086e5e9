"""One SQL for all engines, and what each of them makes of it.

Rules of the room: statements are written once, in SQLite's words where engines differ,
but for one: a row is held until the commit by `FOR UPDATE`, or `FOR UPDATE SKIP
LOCKED`, at the end of its SELECT. SQLite has a single writer, so there every row is.
"""

import re
from functools import lru_cache

# What stands in quotes or in a comment is nobody's to translate.
_APART = r"'[^']*'|--[^\n]*"

_HOLDING = re.compile(rf"({_APART})|\s+FOR UPDATE(?: SKIP LOCKED)?\b")


@lru_cache(maxsize=512)
def for_sqlite(sql: str) -> str:
    """A statement as SQLite has it."""
    return _HOLDING.sub(lambda found: found[1] or "", sql)

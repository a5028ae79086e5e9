"""The schema, brought up to date by numbered scripts.

Rules of the room: a script that was released is never changed. All that a store lacks
run in one transaction, so that a store has a version or none, whatever fails. In a
script only the end of a statement ends a line with a semicolon.
"""

from pathlib import Path

from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import StoreTooNew


def migrate(connection: Connection) -> None:
    """Bring the schema up to date; whoever does the same at the same time waits.

    Raises `StoreTooNew`, and `StoreUnavailable`.
    """
    scripts = _scripts()
    newest = max(scripts)
    try:
        connection.begin()
        version = connection.load_version()
        _check_version(version, newest)
        cursor = connection.cursor()
        for number in range(version + 1, newest + 1):
            for statement in _statements(scripts[number]):
                cursor.execute(statement)
        if version < newest:
            connection.record_version(newest)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _check_version(version: int, newest: int) -> None:
    if version > newest:
        raise StoreTooNew(
            f"the store has version {version}, this program knows up to {newest}; "
            "run the program that wrote it, or a newer one"
        )


def _scripts() -> dict[int, str]:
    folder = Path(__file__).parent.parent / "migrations"
    return {
        int(script.name.partition("_")[0]): script.read_text("utf-8")
        for script in folder.glob("*.sql")
    }


def _statements(script: str) -> list[str]:
    statements = [""]
    for line in script.splitlines(keepends=True):
        statements[-1] += line
        if line.endswith(";\n"):
            statements.append("")
    return statements[:-1]

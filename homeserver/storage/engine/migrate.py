"""The schema, brought up to date by numbered scripts.

Rules: a released script is never changed. All scripts that a store lacks run in one
transaction, so that after a failure it has the version that it had before. In a script,
a line ends with a semicolon only where a statement ends.
"""

from pathlib import Path

from homeserver.storage.engine.connection import Connection, transaction
from homeserver.storage.engine.interface import StoreTooNew


def migrate(connection: Connection) -> None:
    """Bring the schema up to date, once other processes that do so have finished.

    Raises `StoreTooNew`, and `StoreUnavailable`.
    """
    scripts = _scripts()
    newest = max(scripts)
    with transaction(connection) as cursor:
        version = connection.load_version()
        if version > newest:
            raise StoreTooNew(
                f"the store has version {version}, this program knows up to {newest}; "
                "run the program that wrote it, or a newer one"
            )
        for number in range(version + 1, newest + 1):
            for statement in scripts[number].split(";\n")[:-1]:
                cursor.execute(statement)
        if version < newest:
            connection.record_version(newest)


def _scripts() -> dict[int, str]:
    folder = Path(__file__).parent.parent / "migrations"
    return {
        int(script.name.partition("_")[0]): script.read_text("utf-8")
        for script in folder.glob("*.sql")
    }

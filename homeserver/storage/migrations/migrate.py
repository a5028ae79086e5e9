"""The schema, brought up to date by numbered scripts.

Rules: a released script is never changed. All scripts that a store lacks run in one
transaction, so that after a failure or a kill it has the version that it had before. In
a script, a line ends with a semicolon only where a statement ends, and a question mark
stands for the server name that existing rows belong to.
"""

from pathlib import Path

from twisted.logger import Logger

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.connection import Connection, transaction
from homeserver.storage.engine.interface import StoreTooNew

_log = Logger()


def migrate(connection: Connection, owner: ServerName | None) -> None:
    """Bring the schema up to date, once other processes that do so have finished.

    Rows of before there were server names belong to `owner`; a new store needs none.
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
        if version == newest:
            return
        if version > 0:
            _log.info(
                f"bringing the store from version {version} to {newest}: this takes "
                "about ten seconds for a million rows, and the space of the store "
                "again; if it is interrupted, the store stays as it was"
            )
        for number in range(version + 1, newest + 1):
            for statement in scripts[number].split(";\n")[:-1]:
                names = [owner and owner.name] * statement.count("?")
                cursor.execute(statement, names)
        connection.record_version(newest)
    if version > 0:
        _log.info(f"the store has version {newest} now")


def _scripts() -> dict[int, str]:
    folder = Path(__file__).parent
    return {
        int(script.name.partition("_")[0]): script.read_text("utf-8")
        for script in folder.glob("*.sql")
    }

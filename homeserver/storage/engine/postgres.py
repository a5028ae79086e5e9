"""PostgreSQL: the store that several endpoints of one server name share.

Rules of the room: others write at the same time, and each statement sees what is
committed when it begins (READ COMMITTED). Nobody is waited for without an end: not for
a row that is held, not for a server that is gone, and who holds rows and is silent is
thrown out by the server.
"""

import contextlib
import os
import select
import socket
from collections.abc import Iterable
from typing import Any, cast

import psycopg
from psycopg.abc import Params, Query, QueryNoTemplate
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from homeserver.storage.engine.connection import Conflict, EngineCursor
from homeserver.storage.engine.dialect import for_postgres
from homeserver.storage.engine.interface import Cursor, StoreUnavailable

# What libpq is told where the URL does not say it. A server that is gone is noticed
# within about ten seconds.
_CONNECTING = {
    "application_name": "homeserver",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# What the server is told, before what the URL says. An endpoint that stands still with
# rows held loses them before others give up.
_SETTINGS = (
    "-c idle_in_transaction_session_timeout=10s"
    " -c lock_timeout=15s"
    " -c synchronous_commit=on"
)

# Who migrates holds it, so that endpoints that start together do so one by one; it is
# in nobody else's way in a database of this program.
_MIGRATION_LOCK = int.from_bytes(b"homesrv", "big")

_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock

# Errors after which the connection is as good as before: a mistake in a statement, a
# disk or a memory that is full, a limit.
_HARMLESS = ("42", "53", "54")


class _Cursor(psycopg.Cursor[Any]):
    """A cursor that runs one statement at a time."""

    def executemany(
        self, query: Query, params_seq: Iterable[Params], *, returning: bool = False
    ) -> None:
        """As `Cursor.executemany`."""
        # psycopg's own is a pipeline, after which the server no longer throws out who
        # stands still with rows held.
        for row in params_seq:
            self.execute(cast("QueryNoTemplate", query), row)


class PostgresConnection:
    """A `Connection` to a server."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """`connection` is in autocommit mode."""
        self.connection = connection
        info = connection.info
        self._name = f"PostgreSQL at {info.host}:{info.port}/{info.dbname}"
        self._is_lost = False

    @property
    def is_lost(self) -> bool:
        """As `Connection.is_lost`."""
        return self._is_lost or self.connection.closed

    def check(self) -> None:
        """As `Connection.check`."""
        try:
            # Nobody has asked anything: it may say that it ends, and then it does.
            poll = select.poll()
            poll.register(self.connection.fileno(), select.POLLIN)
            while poll.poll(0):
                self.connection.pgconn.consume_input()
        except psycopg.Error as error:
            raise self._explain(error) from None

    def abort(self) -> None:
        """As `Connection.abort`."""
        # Not a cancellation, which is asked of the server that does not answer.
        with (
            contextlib.suppress(psycopg.Error, OSError),
            socket.socket(fileno=os.dup(self.connection.fileno())) as same,
        ):
            same.shutdown(socket.SHUT_RDWR)

    def cursor(self) -> EngineCursor:
        """As `Connection.cursor`."""
        try:
            cursor = self.connection.cursor(binary=True)
        except psycopg.Error as error:  # it was lost with the job before
            raise self._explain(error) from None
        return EngineCursor(cursor, for_postgres, psycopg.Error, self._explain)

    def begin(self) -> None:
        """As `Connection.begin`."""
        self.cursor().execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")

    def commit(self) -> None:
        """As `Connection.commit`."""
        self.cursor().execute("COMMIT")

    def rollback(self) -> None:
        """As `Connection.rollback`."""
        with contextlib.suppress(psycopg.Error):
            self.connection.execute("ROLLBACK")

    def load_version(self) -> int:
        """As `Connection.load_version`."""
        cursor = self.cursor()
        # Whoever is migrating may be making an index over millions of rows.
        cursor.execute("SET LOCAL lock_timeout = '10min'")
        cursor.execute("SELECT pg_advisory_xact_lock(?)", (_MIGRATION_LOCK,))
        [table] = cursor.execute("SELECT to_regclass('schema_version')").fetchone()
        if table is None:
            cursor.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
            cursor.execute("INSERT INTO schema_version VALUES (0)")
        [version] = cursor.execute("SELECT version FROM schema_version").fetchone()
        return int(version)

    def record_version(self, version: int) -> None:
        """As `Connection.record_version`."""
        self.cursor().execute("UPDATE schema_version SET version = ?", (version,))

    def close(self) -> None:
        """As `Connection.close`."""
        self.connection.close()

    def _explain(self, error: psycopg.Error) -> Exception:
        code = error.sqlstate
        if code in _CONFLICTS:
            return Conflict(_reason(error))
        is_mistake = isinstance(error, (psycopg.IntegrityError, psycopg.DataError))
        if is_mistake or (code is None and isinstance(error, psycopg.ProgrammingError)):
            return error
        if code is None or not code.startswith(_HARMLESS):
            self._is_lost = True
        return StoreUnavailable(f"{self._name} cannot be used: {_reason(error)}")


def connect(url: str) -> PostgresConnection:
    """Connect to the server and the database that `url` names, as libpq reads it.

    Raises `StoreUnavailable`.
    """
    try:
        given = conninfo_to_dict(url)
        missing = {key: said for key, said in _CONNECTING.items() if key not in given}
        options = f"{_SETTINGS} {given.get('options', '')}"
        conninfo = make_conninfo(url, **missing, options=options)
    except psycopg.ProgrammingError as error:
        # Without what is in quotes there, which may be of the password.
        reason, _, _ = _reason(error).partition(":")
        raise StoreUnavailable(f"is no URL that libpq reads: {reason}") from None
    with contextlib.ExitStack() as stack:
        try:
            connection = psycopg.connect(
                conninfo, autocommit=True, cursor_factory=_Cursor
            )
            stack.callback(connection.close)
        except psycopg.Error as error:
            raise StoreUnavailable(
                f"PostgreSQL cannot be used: {_reason(error)}"
            ) from None
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreUnavailable(
                f"the database {connection.info.dbname} has the encoding {encoding}; "
                "make one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            )
        stack.pop_all()
    return PostgresConnection(connection)


def now_ts(cursor: Cursor) -> int:
    """As `StoreClock`: the server's time, which is one for all that share the store."""
    [now] = cursor.execute(
        "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    ).fetchone()
    return int(now)


def _reason(error: psycopg.Error) -> str:
    """What the server or libpq says, in one line."""
    return " ".join((error.diag.message_primary or str(error)).split())

"""PostgreSQL: the store that several endpoints of one server name share.

Rules: other processes write at the same time, and each statement sees what is committed
when it begins (READ COMMITTED). Every wait has a limit: for a locked row, and for a
server that is gone. The server disconnects a client that locks rows and stays silent.
"""

import contextlib
import os
import select
import socket
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from homeserver.storage.engine.connection import Conflict, Connection, EngineCursor
from homeserver.storage.engine.dialect import for_postgres
from homeserver.storage.engine.interface import Cursor, StoreUnavailable

# Defaults for libpq, which the URL may override. A server that is gone is detected
# within about ten seconds.
_CONNECTING = {
    "application_name": "homeserver",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# Settings of the session, which the URL may override. A process that stops while it has
# locked rows loses them before the others' waits end.
_SETTINGS = (
    "-c idle_in_transaction_session_timeout=10s"
    " -c lock_timeout=15s"
    " -c synchronous_commit=on"
)

# An advisory lock: processes that start together migrate one after the other.
_MIGRATION_LOCK = int.from_bytes(b"homesrv", "big")

_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock

# Errors that leave the connection usable: a mistake in a statement, a full disk or
# memory, a limit.
_HARMLESS = ("42", "53", "54")


class PostgresConnection(Connection):
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
            # No statement is running: what is there to read is the connection's end.
            poll = select.poll()
            poll.register(self.connection.fileno(), select.POLLIN)
            while poll.poll(0):
                self.connection.pgconn.consume_input()
        except psycopg.Error as error:
            raise self._explain(error) from None

    def abort(self) -> None:
        """As `Connection.abort`."""
        # Not a cancellation: the server that hangs would have to carry it out.
        with (
            contextlib.suppress(psycopg.Error, OSError),
            socket.socket(fileno=os.dup(self.connection.fileno())) as same,
        ):
            same.shutdown(socket.SHUT_RDWR)

    def cursor(self) -> EngineCursor:
        """As `Connection.cursor`."""
        try:
            cursor = self.connection.cursor(binary=True)
        except psycopg.Error as error:  # it was lost during the job before
            raise self._explain(error) from None
        return _Cursor(cursor, for_postgres, psycopg.Error, self._explain)

    def begin(self) -> None:
        """As `Connection.begin`."""
        self.cursor().execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")

    def load_version(self) -> int:
        """As `Connection.load_version`."""
        cursor = self.cursor()
        # The process that migrates may be building an index over millions of rows.
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


class _Cursor(EngineCursor):
    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> None:
        """As `Cursor.executemany`."""
        # Not psycopg's own: it is a pipeline, which disables the server's time-out for
        # a silent client that has locked rows.
        for row in rows:
            self.execute(sql, row)


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
        # Without the quoted text, which may be a part of the password.
        reason, _, _ = _reason(error).partition(":")
        raise StoreUnavailable(f"is no URL that libpq reads: {reason}") from None
    try:
        connection = psycopg.connect(conninfo, autocommit=True)
    except psycopg.Error as error:
        raise StoreUnavailable(f"PostgreSQL cannot be used: {_reason(error)}") from None
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        name = connection.info.dbname
        connection.close()
        raise StoreUnavailable(
            f"the database {name} has the encoding {encoding}; "
            "make one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    return PostgresConnection(connection)


def now_ts(cursor: Cursor) -> int:
    """As `StoreClock`: the server's time, the same for all that share the store."""
    [now] = cursor.execute(
        "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    ).fetchone()
    return int(now)


def _reason(error: psycopg.Error) -> str:
    """The message of the server or of libpq, in one line."""
    return " ".join((error.diag.message_primary or str(error)).split())

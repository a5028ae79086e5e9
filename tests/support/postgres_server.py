"""A PostgreSQL server of the tests' own, from what the machine has installed."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from homeserver.storage.engine import postgres
from homeserver.storage.engine.immediate import ImmediateDatabase
from scripts.processes import LOOPBACK, free_ports
from tests.support.eventually import HANGING_SECONDS

# What is written is lost with the folder anyway. The tests of what a crash leaves kill
# the server and not the machine, and that loses nothing of what was handed to it.
_FAST = ["fsync=off", "full_page_writes=off", "shared_buffers=16MB"]


class Server:
    """A server that can be stopped and started; one folder has all of it."""

    def __init__(self, programs: Path, folder: Path, settings: list[str]) -> None:
        self._programs = programs
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        [self.port] = free_ports(1)
        self._run("initdb", "-U", "tests", "-E", "UTF8", "--locale=C", "-A", "trust")

    def start(self) -> None:
        """Start, and wait until connections are accepted."""
        settings = [
            *self._settings,
            f"port={self.port}",
            f"listen_addresses={LOOPBACK}",
            "unix_socket_directories=",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    "-D",
                    self._folder / "data",
                    *(word for setting in settings for word in ("-c", setting)),
                ],
                stdout=log,
                stderr=log,
                user=_user(),
                group=_group(),
                extra_groups=[] if _is_root() else None,
            )
        deadline = time.monotonic() + HANGING_SECONDS
        while not self._is_ready():
            said = (self._folder / "log").read_text()
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End all connections and stop; SIGKILL leaves a mess behind."""
        if self._process is not None:
            children = self._children(self._process)
            self._process.send_signal(how)
            self._process.wait(HANGING_SECONDS)
            self._process = None
            # After SIGKILL, those serve who is connected until they notice.
            deadline = time.monotonic() + HANGING_SECONDS
            while any(_is_running(child) for child in children):
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def freeze(self, how: signal.Signals) -> None:
        """Let everything stand still (SIGSTOP), or go on (SIGCONT)."""
        assert self._process is not None
        for process in [self._process.pid, *self._children(self._process)]:
            os.kill(process, how)

    @staticmethod
    def _children(process: subprocess.Popen[bytes]) -> list[int]:
        path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        return [int(child) for child in path.read_text().split()]

    def new_store(self) -> str:
        """The URL of a store of its own: a schema with nothing in it."""
        name = f"store_{next(self._names)}"
        self.execute(f"CREATE SCHEMA {name}")
        return self.url(name)

    def execute(self, statements: str) -> None:
        """Do something to the database."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statements.encode())

    def url(self, schema: str = "public") -> str:
        """The URL of the database, with the tables of `schema`."""
        return (
            f"postgresql://tests@{LOOPBACK}:{self.port}/postgres"
            f"?options=-csearch_path%3D{schema}"
        )

    @contextmanager
    def altered(self, setting: str, value: str) -> Iterator[None]:
        """Let connections that are made meanwhile begin with another setting."""
        self.execute(f"ALTER ROLE tests SET {setting} = {value}")
        yield
        self.execute(f"ALTER ROLE tests RESET {setting}")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", self._folder / "data", *arguments],
            check=True,
            capture_output=True,
            cwd=self._folder,
            user=_user(),
            group=_group(),
            extra_groups=[] if _is_root() else None,
        )

    def _is_ready(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class PostgresDatabase(ImmediateDatabase):
    """A store in PostgreSQL whose jobs are done at once."""

    def __init__(self, url: str) -> None:
        own = postgres.connect(url)
        super().__init__(own)
        self.connection = own.connection
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema"
        names = [name for [name] in self.connection.execute(tables).fetchall()]
        columns = (
            "SELECT format('SELECT setval(%L, 1, false)', pg_get_serial_sequence("
            "table_name, column_name)) FROM information_schema.columns"
            " WHERE table_schema = current_schema AND is_identity = 'YES'"
        )
        counting = [call for [call] in self.connection.execute(columns).fetchall()]
        for name in names:
            self._execute(f"CREATE TEMPORARY TABLE begin_{name} AS TABLE {name}")
        self._emptying = ";".join(
            [
                "SET session_replication_role = replica",  # no references are checked
                *(f"DELETE FROM {name}" for name in names),
                *(f"INSERT INTO {name} TABLE begin_{name}" for name in names),
                *counting,
                "SET session_replication_role = origin",
            ]
        )

    def empty(self) -> None:
        """Make it as it was at first, which is faster than making another."""
        self._execute(self._emptying)

    def _execute(self, statements: str) -> None:
        self.connection.execute(statements.encode())


@contextmanager
def running_server(settings: list[str]) -> Iterator[Server]:
    """A server; skips the test where PostgreSQL is not installed, but not in CI."""
    programs = _programs()
    if programs is None:
        why = "PostgreSQL is not installed (Debian: apt install postgresql)"
        assert os.environ.get("CI") != "true", why
        pytest.skip(why)
    with TemporaryDirectory(prefix="homeserver-postgres-") as name:
        folder = Path(name)
        if _is_root():
            os.chown(folder, _user() or 0, _group() or 0)
        server = Server(programs, folder, settings)
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # nobody wants what is in it


@contextmanager
def fast_server() -> Iterator[Server]:
    """A server that takes no care of what is written."""
    with running_server(_FAST) as server:
        yield server


def _programs() -> Path | None:
    """Where the newest PostgreSQL of this machine is."""
    found = shutil.which("initdb")
    if found is not None and (Path(found).parent / "postgres").exists():
        return Path(found).parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    return None if newest is None else newest.parent


def _is_running(process_id: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _is_root() -> bool:
    """Whether another user has to run PostgreSQL, which refuses to run as root."""
    return os.geteuid() == 0


def _user() -> int | None:
    return pwd.getpwnam("nobody").pw_uid if _is_root() else None


def _group() -> int | None:
    return pwd.getpwnam("nobody").pw_gid if _is_root() else None

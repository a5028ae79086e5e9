"""Settings of the whole suite."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support.logged_errors import LoggedErrors
from tests.support.postgres_server import PostgresDatabase, Server, fast_server
from tests.support.printed_errors import PrintedErrors

# What Hypothesis remembers of a run goes with it: no file is left behind.
_home = TemporaryDirectory(prefix="hypothesis-")
set_hypothesis_home_dir(_home.name)

# Machines are shared: how long examples take says nothing.
settings.register_profile(
    "shared",
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("shared")

# A shell lets a command in the background ignore SIGINT, and so would all processes
# that the tests start: those that are interrupted would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_INTEROP = Path(__file__).parent / "interop"

# Their modules wait for processes, some of them for a minute.
_LONG = ("interop", "integration", "conformance", "planted")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what is run only where it is asked for."""
    parser.addoption(
        "--interop",
        action="store_true",
        help="run tests/interop too: other implementations",
    )
    parser.addoption(
        "--whole",
        action="store_true",
        help="let each planted fault meet all conformance checks of its areas",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let each error of ours fail the test that caused it."""
    config.pluginmanager.register(LoggedErrors(), "logged-errors")
    config.pluginmanager.register(PrintedErrors(), "printed-errors")
    # Python leaves these out; `Endpoint.running` looks for them.
    os.environ["PYTHONWARNINGS"] = "default::ResourceWarning"


def pytest_unconfigure() -> None:
    """Leave no file."""
    _home.cleanup()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is left out, and how to have it."""
    left_out = []
    if not _is_interop_wanted(config):
        left_out.append("interop: left out; --interop runs tests/interop too")
    if not config.getoption("--whole"):
        left_out.append(
            "conformance: faults meet the checks that they turn red; with --whole, "
            "all others of their areas, too"
        )
    return left_out


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what needs Synapse, where nobody asks for it."""
    if collection_path == _INTEROP and not _is_interop_wanted(config):
        return True
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, as many tests wait."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) + 1
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules that take long first: the short ones fill what is left at the end."""
    items.sort(key=lambda item: _rank(item.path))


def pytest_collection_finish() -> None:
    """Keep the collector from looking at each test again, thousands of times."""
    gc.collect()
    gc.freeze()


def _is_interop_wanted(config: pytest.Config) -> bool:
    named = (Path(each.partition("::")[0]).absolute() for each in config.args)
    return bool(config.getoption("interop")) or any(
        each.is_relative_to(_INTEROP) for each in named
    )


def _rank(path: Path) -> int:
    folder = path.relative_to(_INTEROP.parent).parts[0]
    return _LONG.index(folder) if folder in _LONG else len(_LONG)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for the stores of all tests; nobody stops it."""
    with fast_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres: Server) -> Iterator[PostgresDatabase]:
    """A store in it, which each test that uses it empties first."""
    database = PostgresDatabase(postgres.new_store())
    yield database
    database.connection.close()

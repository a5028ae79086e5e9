"""The pytest plugin `matrix-lab`: a lab for a suite, and a server for each test.

Rules: nothing is started before a test asks for it. When a test fails, what passed at
its server is in its report. With `matrix_lab_strict = true`, or the mark
`matrix_lab(strict=True)`, a test fails if its server was asked for what the test did
not expect; key documents and well-known documents may always be asked for.
"""

from collections.abc import Generator, Iterator

import pytest

from homeserver.testing.lab import Lab
from homeserver.testing.link import LabError
from homeserver.testing.server import Server
from homeserver.testing.values import Exchange

_ALWAYS_EXPECTED = ("/_matrix/key/", "/.well-known/")

_SETTING = "matrix_lab_strict"

_MAX_SHOWN = 100  # exchanges in the report of a failure


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings."""
    parser.addini(
        "matrix_lab_options", "options of `homeserver lab`", type="args", default=[]
    )
    parser.addini(
        "matrix_lab_listen",
        "`own`: servers of tests have addresses as names, which need no name server",
        default="shared",
    )
    parser.addini(
        _SETTING,
        "whether requests that a test does not expect fail it",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the mark."""
    config.addinivalue_line(
        "markers",
        "matrix_lab(strict): whether unexpected requests to `matrix_server` fail it",
    )


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """A lab for all tests; `HOMESERVER_LAB` names one to join."""
    with Lab(*pytestconfig.getini("matrix_lab_options")) as running:
        yield running


@pytest.fixture
def matrix_server(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the lab for one test; it has a name of its own."""
    server = lab.server(listen=request.config.getini("matrix_lab_listen"))
    yield server
    try:
        if _is_strict(request):
            _check(server)
    finally:
        server.delete()


def _is_strict(request: pytest.FixtureRequest) -> bool:
    mark = request.node.get_closest_marker("matrix_lab")
    if mark is not None and "strict" in mark.kwargs:
        return bool(mark.kwargs["strict"])
    return bool(request.config.getini(_SETTING))


def _check(server: Server) -> None:
    """Fail the test if its server was asked for what it did not expect."""
    unexpected = [
        each
        for each in server.exchanges(direction="in", kind="request")
        if each.id not in server.expected
        and not (each.path or "").startswith(_ALWAYS_EXPECTED)
    ]
    if unexpected:
        pytest.fail(f"unexpected requests:\n{_lines(unexpected)}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what passed at the server of a test that fails."""
    report = yield
    server = getattr(item, "funcargs", {}).get("matrix_server")
    if report.failed and call.when == "call" and isinstance(server, Server):
        try:
            text = _lines(server.exchanges())
        except LabError as problem:
            text = str(problem)
        report.sections.append((f"record of {server.name}", text))
    return report


def _lines(exchanges: list[Exchange]) -> str:
    lines = [f"  {each}" for each in exchanges[-_MAX_SHOWN:]]
    if len(exchanges) > _MAX_SHOWN:
        lines.insert(0, f"  (the last {_MAX_SHOWN} of {len(exchanges)})")
    return "\n".join(lines)

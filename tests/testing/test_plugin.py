"""The pytest plugin, as a suite uses it."""

from collections.abc import Iterator

import pytest

from homeserver.testing import Lab

pytest_plugins = ["pytester"]

SUITE = """
    import pytest

    VERSION = "/_matrix/federation/v1/version"

    @pytest.fixture
    def other(lab):
        return lab.server()

    def test_good(matrix_server, other):
        other.request(matrix_server.name, VERSION)
        matrix_server.expect(path=VERSION)

    def test_bad(matrix_server, other):
        other.request(matrix_server.name, VERSION)
        assert False

    @pytest.mark.matrix_lab(strict=True)
    def test_strict(matrix_server, other):
        other.request(matrix_server.name, "/_matrix/key/v2/server")
        other.request(matrix_server.name, VERSION)
        matrix_server.expect(path=VERSION)

    @pytest.mark.matrix_lab(strict=True)
    def test_unexpected(matrix_server, other):
        other.request(matrix_server.name, VERSION)
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    """A lab that suites join."""
    with Lab() as lab:
        yield lab


def run(
    pytester: pytest.Pytester, lab: Lab, monkeypatch: pytest.MonkeyPatch, *options: str
) -> pytest.RunResult:
    """Run the suite on the lab, in this process."""
    monkeypatch.setenv("HOMESERVER_LAB", lab.control)
    monkeypatch.setenv("HOMESERVER_LAB_TOKEN", lab.link.token)
    pytester.makepyfile(SUITE)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)


def test_a_failure_has_the_record_of_its_server(
    pytester: pytest.Pytester, running: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unexpected requests fail a strict test alone, and failures show what passed."""
    result = run(pytester, running, monkeypatch)
    result.assert_outcomes(passed=3, failed=1, errors=1)
    output = result.stdout.str()
    assert "record of s" in output
    assert "GET /_matrix/federation/v1/version 200" in output
    assert "unexpected requests:" in output


def test_a_suite_can_be_strict(
    pytester: pytest.Pytester, running: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting, every test says what it expects."""
    options = ["-o", "matrix_lab_strict=true", "-k", "good or bad"]
    result = run(pytester, running, monkeypatch, *options)
    result.assert_outcomes(passed=1, failed=1, errors=1)

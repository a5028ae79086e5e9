"""`homeserver health`: of which daemon it is asked, with which token, and shown."""

from pathlib import Path

from tests.support.canned_control import CannedControl
from tests.support.commands import failed, run


def test_health_without_a_token(path: Path, control: CannedControl) -> None:
    """Health is asked for without a token, and with one where that is needed."""
    token = (path.parent / "control.token").read_text().strip()
    assert run("health", "-c", path, "--verbose").exit_code == 0
    (path.parent / "control.token").unlink()
    assert run("health", "-c", path).stdout == "ok\n"
    status, said = failed(run("health", "-c", path, "--verbose"))
    assert (status, "control.token_file" in said) == (2, True)
    tokens = [token for _, token, _ in control.asked]
    assert tokens == [f"Bearer {token}", f"Bearer {token}", None]


def test_health_of_one_server(path: Path, control: CannedControl) -> None:
    """There is no health of one server alone, so no option chooses one."""
    status, said = failed(run("health", "-c", path, "--server", "a.test"))
    assert (status, "--server" in said) == (2, True)
    assert control.asked == []


def test_remarks(path: Path, control: CannedControl) -> None:
    """What the daemon remarks is shown with its health."""
    health = {"status": "ok", "remarks": ["the certificate has expired"]}
    control.answers["GET /health"] = 200, health
    shown = "ok\nremark: the certificate has expired\n"
    assert run("health", "-c", path).stdout == shown

"""The files of a configuration, of which several are wrong."""

from pathlib import Path

import pytest

from homeserver.app.files import load_files
from homeserver.config import reader
from homeserver.config.values import ConfigError
from tests.support.commands import configured

TRUST = '[verification]\nca_file = "homeserver.toml"\n'


def problems(path: Path) -> list[str]:
    """What is said of the files, without their folder."""
    try:
        load_files(path, reader.load(path))
    except ConfigError as problem:
        return [each.replace(f"{path.parent}/", "") for each in problem.problems]
    return []


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    """Keys, certificate, authorities and token are mended in one go."""
    path = configured(tmp_path, "127.0.0.1:0")
    path.write_text(f"{path.read_text()}\n{TRUST}")
    for name in ("signing.key", "tls.key", "control.token"):
        (path.parent / name).write_bytes(b"")
    assert problems(path) == [
        (
            "signing.key: signing.key: there is no key in it; a line is "
            "`ed25519 VERSION SEED`"
        ),
        "tls: tls.key is not a PEM private key without a password",
        "verification.ca_file: homeserver.toml has no PEM certificates in it",
        "control.token_file: control.token has no token in it, one word of ASCII",
    ]


@pytest.mark.parametrize("name", ["signing.key", "control.token"])
def test_one_mistake(tmp_path: Path, name: str) -> None:
    """One wrong file hides nothing and brings nothing with it."""
    path = configured(tmp_path, "127.0.0.1:0")
    assert problems(path) == []
    (path.parent / name).write_bytes(b"")
    [problem] = problems(path)
    assert name in problem


def test_no_control_api(tmp_path: Path) -> None:
    """Without a control API there is no token."""
    path = configured(tmp_path, "127.0.0.1:0")
    before, _, after = path.read_text().partition("[control]\n")
    control = after.replace("127.0.0.1:0", "", 1)
    path.write_text(f"{before}[control]\n{control}")
    assert reader.load(path).control.listen is None
    (path.parent / "control.token").write_bytes(b"")
    assert problems(path) == []

"""Which settings of a configuration have changed, and need a restart."""

from pathlib import Path

import pytest

from homeserver.config import reader
from homeserver.config.changes import find_changes
from homeserver.config.values import Config

ONE = """\
server_name = "a.org"
listen = "127.0.0.1:1"
[tls]
certificate = "a.crt"
[network]
allow = ["10.0.0.0/8"]
"""
SEVERAL = """\
[[servers]]
server_name = "a.org"
signing = {key = "a.key"}
[[servers]]
server_name = "b.org"
listen = "127.0.0.1:2"
signing = {key = "b.key"}
"""


def read(folder: Path, text: str) -> Config:
    """A configuration; none of its files is there."""
    path = folder / "homeserver.toml"
    path.write_text(text)
    return reader.load(path, reads_files=False)


CHANGES: list[tuple[str, str, str, list[str]]] = [
    (ONE, "", "", []),
    (ONE, "127.0.0.1:1", "127.0.0.1:2", ["listen"]),
    (ONE, "10.0.0.0/8", "10.0.0.0/9", ["network.allow"]),
    (ONE, "a.org", "b.org", ["server_name"]),
    (ONE, "[network]", "[log]\nlevel = 'warn'\n[network]", ["log.level"]),
    (ONE, "listen =", "shutdown_seconds = 1\nlisten =", ["shutdown_seconds"]),
    (ONE, "[network]", "[control]\nlisten = ''\n[network]", ["control.listen"]),
    (
        ONE,
        "[tls]",
        "[tls]\nclient_certificates = 'ignore'",
        ["tls.client_certificates"],
    ),
    (
        ONE,
        "listen =",
        'discovery.delegate_to = "m.org"\nlisten =',
        ["discovery.delegate_to"],
    ),
    # A reload takes these up.
    (ONE, "a.crt", "b.crt", []),
    (ONE, "[tls]", "[tls]\nprivate_key = 'b.key'", []),
    (ONE, "[tls]", "[signing]\nkey = 'b.key'\n[tls]", []),
    (SEVERAL, "", "", []),
    (SEVERAL, "127.0.0.1:2", "127.0.0.1:3", ["[[servers]] b.org: listen"]),
    (SEVERAL, '"b.key"', '"c.key"', []),
    (
        SEVERAL,
        "b.org",
        "c.org",
        ["[[servers]] b.org: is gone", "[[servers]] c.org: is new"],
    ),
    (SEVERAL, "[[servers]]", "log.level = 'warn'\n[[servers]]", ["log.level"]),
]


@pytest.mark.parametrize(("text", "old", "new", "keys"), CHANGES)
def test_changes(
    tmp_path: Path, text: str, old: str, new: str, keys: list[str]
) -> None:
    """What needs a restart is named, and what a reload takes up is not."""
    before = read(tmp_path, text)
    after = read(tmp_path, text.replace(old, new, 1) if old else text)
    assert find_changes(before, after) == keys


def test_one_becomes_several(tmp_path: Path) -> None:
    """A server that is added is named, also beside one that was alone."""
    before = read(tmp_path, 'server_name = "a.org"\n[signing]\nkey = "a.key"')
    found = find_changes(before, read(tmp_path, SEVERAL))
    assert found == ["[[servers]] b.org: is new"]

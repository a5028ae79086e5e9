"""`homeserver init`: where a new endpoint listens, and what is said to do next."""

from pathlib import Path

import pytest

from tests.support.commands import run

NEW: list[tuple[str, list[str], str, str]] = [
    ("a.test", [], "0.0.0.0:8448", ""),
    ("a.test:8449", [], "0.0.0.0:8449", ""),
    ("localhost:8449", [], "127.0.0.1:8449", ""),
    ("127.0.0.1", [], "127.0.0.1:8448", ""),
    ("[::1]:1", [], "[::1]:1", ""),
    ("192.0.2.1:1", [], "0.0.0.0:1", ""),
    ("[2001:db8::1]", [], "[::]:8448", ""),
    ("a.test", ["--listen", "127.0.0.1:1"], "127.0.0.1:1", ""),
    ("a.test:1", ["--listen", "127.0.0.1:1"], "127.0.0.1:1", ""),
    (
        "a.test:8449",
        ["--listen", "0.0.0.0:1"],
        "0.0.0.0:1",
        "note: other servers connect to port 8449, as the name says, and --listen ",
    ),
]


@pytest.mark.parametrize(("name", "options", "listen", "note"), NEW)
def test_init(
    tmp_path: Path, name: str, options: list[str], listen: str, note: str
) -> None:
    """A new endpoint listens where its name says, and what comes next is said."""
    folder = tmp_path / "new"
    done = run("init", "--server-name", name, *options, folder)
    assert (done.exit_code, bool(done.stderr)) == (0, bool(note))
    assert done.stderr.startswith(note)
    path = folder / "homeserver.toml"
    assert done.stdout.splitlines()[-1] == f"next: homeserver run -c {path}"
    assert f'\nlisten = "{listen}"\n' in path.read_text()

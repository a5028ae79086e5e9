"""The files of an endpoint are for their owner alone."""

from pathlib import Path

from scripts.processes import first_line, make_endpoint


def test_files_that_others_can_read(tmp_path: Path) -> None:
    """Of what `init` and the daemon make, none; the start says which ones are."""
    alpha = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with alpha.running() as process:
        first_line(process)
        private = {"homeserver.toml", "signing.key", "tls.key", "control.token"}
        private |= {"homeserver.db", "homeserver.db-wal", "homeserver.db-shm"}
        modes = {
            each.name: each.stat().st_mode & 0o777 for each in alpha.folder.iterdir()
        }
        assert {modes[name] for name in private} == {0o600}
        assert alpha.folder.stat().st_mode & 0o777 == 0o700
    assert "for its owner alone" not in alpha.log.read_text()
    names = ["signing.key", "control.token", "tls.key", "homeserver.db"]
    for name in names:
        (alpha.folder / name).chmod(0o644)
    with alpha.running() as process:
        first_line(process)
    said = alpha.log.read_text()
    for name in names:
        assert f"{alpha.folder / name} is not for its owner alone (mode 0644)" in said

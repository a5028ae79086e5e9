"""An earlier report that cannot be compared with."""

from pathlib import Path

import pytest

from homeserver.conformance.baseline import BadBaseline, load


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """It is named after the option, with what the system says of it."""
    why = f"^--baseline: {tmp_path}: Is a directory$"
    with pytest.raises(BadBaseline, match=why):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000], ids=len)
def test_a_file_that_is_no_report(tmp_path: Path, content: bytes) -> None:
    """It is named after the option, with what a report is."""
    file = tmp_path / "x.json"
    file.write_bytes(content)
    why = f"^--baseline: {file} is no report of --format json: "
    with pytest.raises(BadBaseline, match=why):
        load(file)

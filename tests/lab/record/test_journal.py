"""The journal: a file with a line for each exchange."""

import json
from pathlib import Path
from typing import Any

import pytest

from homeserver.lab.record.journal import Journal
from tests.support.exchanges import exchange
from tests.support.lab_records import PDUS, Waiting


def read_lines(path: Path) -> list[Any]:
    """The JSON of each line of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_journal_has_a_line_for_each_exchange(tmp_path: Path) -> None:
    """Lines are written after a turn, and what is left when the journal is closed."""
    waiting = Waiting()
    path = tmp_path / "exchanges.jsonl"
    path.write_text('{"id":0}\n')
    journal = Journal(path, waiting.record, waiting.clock)
    waiting.record.add(exchange(PDUS))
    waiting.record.add(exchange(kind="dns"))
    waiting.clock.advance(0)
    assert [line["id"] for line in read_lines(path)] == [0, 1, 2]
    waiting.record.add(exchange())
    journal.close()
    waiting.record.add(exchange())
    lines = read_lines(path)
    assert [line["id"] for line in lines] == [0, 1, 2, 3]
    assert lines[1]["request"]["body"] == PDUS.decode()
    waiting.clock.advance(1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_journal() -> None:
    """The exchanges go on, and nothing is kept in memory for a file that is full."""
    waiting = Waiting()
    journal = Journal(Path("/dev/full"), waiting.record, waiting.clock)
    waiting.record.add(exchange())
    waiting.clock.advance(0)
    waiting.record.add(exchange())
    assert waiting.watches == 0
    assert journal._lines == []
    journal.close()

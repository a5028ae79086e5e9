"""A transaction enters the rooms of the document, in their order, each once."""

import subprocess
import sys
from pathlib import Path

import pytest

from homeserver.net.back_off import BackOff
from scripts.trace import differences
from scripts.traced import INBOUND, OUTBOUND, Journey, Tracer, documented, journeys

TOP = Path(__file__).parent.parent.parent

TEXT = """# Title

## A way

1. `http/router` finds the route
   of `http/site`.
2. `inbound/gate` checks.

It ends in `storage/received.record`: a commit.

## No way

1. `http/site` is here, but nothing ends.
"""


def test_journeys_are_read() -> None:
    """A journey is a list of rooms with an end; other sections have none."""
    rooms = ["http/router", "inbound/gate"]
    assert journeys(TEXT) == {"A way": Journey(rooms, ("storage/received", "record"))}


def test_rooms_of_the_document() -> None:
    """The document has both journeys, with at most eight rooms, all modules."""
    found = documented()
    assert list(found) == [INBOUND, OUTBOUND]
    for journey in found.values():
        assert 1 < len(journey.rooms) <= 8
        for room in [*journey.rooms, journey.end[0]]:
            assert (TOP / "homeserver" / f"{room}.py").is_file()


JOURNEY = Journey(["a", "b", "c"], ("d", "end"))

DIFFERENCES = [
    (["a", "b", "c"], []),
    (["a", "b"], ["the document has a, b, c"]),
    (["a", "c", "b"], ["the document has a, b, c"]),
    (["a", "b", "a", "c"], ["a is entered 2 times"]),
]


@pytest.mark.parametrize(("entered", "found"), DIFFERENCES)
def test_differences(entered: list[str], found: list[str]) -> None:
    """Another order, a missing room and a second visit are differences."""
    assert differences(JOURNEY, entered) == found


def test_what_is_a_visit() -> None:
    """A call from outside is a visit; calls within a room and returns are none."""
    ended: list[list[str]] = []
    rooms = ["net/back_off", "net/bounded_map"]
    tracer = Tracer(Journey(rooms, ("net/back_off", "succeed")), ended.append)
    back_off: BackOff[str] = BackOff(1.0, 60.0)
    sys.setprofile(tracer)
    try:
        back_off.fail("a")
        once = list(tracer.entered)
        back_off.succeed("a")
        back_off.fail("a")
    finally:
        sys.setprofile(None)
    assert once == rooms
    assert ended == [rooms]


def test_trace() -> None:
    """A real transaction between two processes goes as the document says."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.trace"],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("    ") == sum(len(j.rooms) for j in documented().values())

"""Random rooms are the same each time, whatever the order of Python's sets."""

import os
import sys
from pathlib import Path
from subprocess import run

_TOP = Path(__file__).parent.parent.parent.parent
_PROGRAM = """
from tests.protocol.rooms.random_rooms import VERSIONS, RandomRoom
for number in range(24):
    print(*RandomRoom(number, VERSIONS[number % 12], 100).events)
"""


def _rooms(hash_seed: str) -> str:
    command = [sys.executable, "-c", _PROGRAM]
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return run(command, cwd=_TOP, env=env, capture_output=True, check=True).stdout.hex()


def test_a_room_is_made_by_its_seed() -> None:
    """Processes that order their sets otherwise make the same events."""
    assert len({_rooms(seed) for seed in ("1", "2", "3")}) == 1

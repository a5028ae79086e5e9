"""A room with a long history: how much of the disk and of memory it takes.

    python -m scripts.benchmarks.long_room [EVENTS]

Writes a room of EVENTS events (100,000 by default) into the store of an endpoint that
does not run. Every tenth changes the state: a user joins, or has a new name once all
have joined. Then the endpoint is started and reads the room.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import DEFAULT_ROOM_VERSION
from homeserver.protocol.identifiers import RoomId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.turn import Turn
from scripts.benchmarks.large_rooms import client_of, make_local
from scripts.benchmarks.usage import (
    cpu_seconds,
    most_megabytes,
    resident_megabytes,
)
from scripts.processes import Endpoint, first_line
from tests.support.coroutines import result_of
from tests.support.stopped_endpoints import StoppedEndpoint

_USERS = 1000
_BY_STATE = 10  # events for each that changes the state
_AT_ONCE = 1000  # events in one commit


def main() -> None:
    """Run it, and print what was measured."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with TemporaryDirectory() as folder:
        endpoint = make_local(Path(folder) / "long")
        began = time.process_time()
        stopped = StoppedEndpoint(endpoint)
        room_id = stopped.create("long", DEFAULT_ROOM_VERSION.version)
        for first in range(0, events, _AT_ONCE):
            _add(stopped, room_id, range(first, min(first + _AT_ONCE, events)))
        room = result_of(stopped.rooms.known(room_id))
        entries = len(room.current)
        _tell(f"{events} events are made", time.process_time() - began)
        reading = stopped.rooms.store.room(room_id, lambda row: len(row.event))
        stored = result_of(reading)
        assert stored is not None  # noqa: S101 - it was made above
        changes = sum(len(each.changes) for each in stored.states)
        print(
            f"{len(stored.states)} states, {changes} entries in them; "
            f"each state as a whole: up to {entries} entries"
        )
        print(f"{sum(stored.events) / 1e6:.1f} MB of events in JSON")
        del stored, room, stopped
        _read(endpoint, room_id)


def _add(stopped: StoppedEndpoint, room_id: RoomId, numbers: range) -> None:
    async def add(turn: Turn) -> None:
        for number in numbers:
            if number % _BY_STATE:
                sender = stopped.user("ann")
                new = NewEvent("m.room.message", sender, {"body": f"{number} " * 10})
            else:
                sender = stopped.user(f"user{number // _BY_STATE % _USERS}")
                content: Json = {
                    "membership": "join",
                    "displayname": f"Number {number}",
                }
                new = NewEvent("m.room.member", sender, content, sender.user_id)
            await turn.take(await stopped.rooms.author.make(turn.room, new))

    result_of(stopped.rooms.change(room_id, add))


def _read(endpoint: Endpoint, room_id: RoomId) -> None:
    """Let the endpoint read the room, which it does when it is asked about it."""
    with endpoint.running() as process:
        first_line(process)
        pid = process.pid
        before, cpu = resident_megabytes(pid), cpu_seconds(pid)
        client_of(endpoint).get("v1", "rooms", room_id, timeout=300.0)
        _tell("it is read", cpu_seconds(pid) - cpu)
        after, most = resident_megabytes(pid), most_megabytes(pid)
    stored = sum(each.stat().st_size for each in endpoint.folder.glob("homeserver.db*"))
    print(f"{stored / 1e6:.1f} MB on the disk")
    print(f"{after - before:.1f} MB of memory; {most - before:.1f} while it is read")


def _tell(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.2f} s of CPU", flush=True)


if __name__ == "__main__":
    main()

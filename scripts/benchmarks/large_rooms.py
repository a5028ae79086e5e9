"""Rooms of many servers: the join of one with ten thousand members, on both sides.

Rules: both endpoints are new processes, and one of them has the room in its store. The
members are users of other servers, whose keys the joining endpoint fetches.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree

from homeserver.config.reader import load
from homeserver.control.client import ControlClient
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import DEFAULT_ROOM_VERSION
from homeserver.protocol.identifiers import RoomId, UserId
from homeserver.protocol.rooms.building import NewEvent, sign_event
from homeserver.protocol.rooms.state import POWER_LEVELS, member_key
from homeserver.rooms.room import Room
from homeserver.rooms.turn import Turn
from scripts.benchmarks.table import Row, Sample
from scripts.benchmarks.transactions import KnownRoom, Origin, user_of
from scripts.benchmarks.usage import cpu_seconds, most_megabytes
from scripts.processes import LOOPBACK, Endpoint, first_line, free_ports, make_endpoint
from tests.support.coroutines import result_of
from tests.support.stopped_endpoints import StoppedEndpoint

MEMBERS = 10_000

JOINER = "joiner"
RESIDENT = "resident"

_SECONDS = 300.0  # for a join that takes ten; machines are shared

_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8"]

[log]
level = "warn"
"""


@dataclass(frozen=True, slots=True)
class _Cost:
    """What one endpoint took for a join."""

    cpu: float
    """Seconds."""

    memory: float
    """The most megabytes that it occupied until then."""


class LargeJoins:
    """Joins of one room, each by a new endpoint."""

    def __init__(
        self, folder: Path, origins: Sequence[Origin], members: int = MEMBERS
    ) -> None:
        """`origins` serve their keys; the members are users of theirs in turn."""
        self._folder = folder
        self._resident = make_local(folder / RESIDENT)
        self._joined = cache(self._join)
        self._members = members
        self._room_id = cache(lambda: _make_room(self._resident, origins, members))

    def rows(self) -> list[Row]:
        """The rows: a round is one join."""
        what = f"join a room of {self._members} members"

        def cpu(side: str) -> Callable[[int], Sample]:
            return lambda number: Sample(self._joined(number)[side].cpu)

        def memory(side: str) -> Callable[[int], Sample]:
            return lambda number: Sample(self._joined(number)[side].memory)

        sides = (JOINER, RESIDENT)
        return [
            Row(what, "s CPU", {side: cpu(side) for side in sides}),
            Row(f"{what}, memory", "MB", {side: memory(side) for side in sides}),
        ]

    def _join(self, number: int) -> dict[str, _Cost]:
        room_id = self._room_id()
        joiner = make_local(self._folder / f"{JOINER}-{number}")
        with _running(joiner) as one, _running(self._resident) as other:
            pids = {JOINER: one, RESIDENT: other}
            begun = {side: cpu_seconds(pid) for side, pid in pids.items()}
            client_of(joiner).post(
                *("v1", "rooms", room_id, "join"),
                content={"via": [self._resident.name]},
                timeout=_SECONDS,
            )
            costs = {
                side: _Cost(cpu_seconds(pid) - begun[side], most_megabytes(pid))
                for side, pid in pids.items()
            }
        rmtree(joiner.folder)
        return costs


def make_local(folder: Path) -> Endpoint:
    """The files of an endpoint on the loopback interface; its name is its address."""
    [port] = free_ports(1)
    address = f"{LOOPBACK}:{port}"
    return make_endpoint(folder, address, _CONFIGURATION, address)


def client_of(endpoint: Endpoint) -> ControlClient:
    """Asks the control API of an endpoint."""
    path = endpoint.configuration
    return ControlClient.of_config(path, load(path))


@contextmanager
def _running(endpoint: Endpoint) -> Iterator[int]:
    with endpoint.running() as process:
        first_line(process)
        yield process.pid


def _make_room(endpoint: Endpoint, origins: Sequence[Origin], members: int) -> RoomId:
    """Let an endpoint that does not run have a room with so many members."""
    others = [origins[number % len(origins)] for number in range(members - 1)]
    users = [(each, f"@u{number}:{each.name}") for number, each in enumerate(others)]
    return _room_of(StoppedEndpoint(endpoint), users).room_id


def make_known(endpoint: Endpoint, origins: Sequence[Origin]) -> KnownRoom:
    """Let an endpoint that does not run have a room with a user of each origin."""
    users = [(each, user_of(each.name)) for each in origins]
    room = _room_of(StoppedEndpoint(endpoint), users)
    [last_id] = room.extremities
    levels = room.current[POWER_LEVELS].event_id
    cited = {
        each.name: [levels, room.current[member_key(user)].event_id]
        for each, user in users
    }
    return KnownRoom(room.room_id, last_id, room.entries[last_id].depth, cited)


def _room_of(stopped: StoppedEndpoint, users: Sequence[tuple[Origin, str]]) -> Room:
    """A public room that users of other servers have joined."""
    version = DEFAULT_ROOM_VERSION
    room_id = stopped.create("bench", version.version)

    async def fill(turn: Turn) -> Room:
        for origin, user_id in users:
            content: Json = {"membership": "join", "displayname": user_id[1:]}
            new = NewEvent("m.room.member", UserId.parse(user_id), content, user_id)
            pdu = await stopped.rooms.author.template(turn.room, new)
            await turn.take(sign_event(pdu, version, origin.name, [origin.key]))
        return turn.room

    return result_of(stopped.rooms.change(room_id, fill))

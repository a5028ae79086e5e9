"""The servers of ours that are in rooms of the target.

Rules: each leaves at the end of the run. Those of one room change it one after the
other, as far as they ask for a turn.
"""

from collections.abc import Sequence

from msgspec import Struct
from twisted.internet.defer import DeferredLock

from homeserver.conformance.ours import Ours
from homeserver.conformance.reply import Reply
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomId
from homeserver.protocol.rooms.state import StateMap


class Member(Struct, frozen=True):
    """A server of ours in a room of the target."""

    ours: Ours
    room_id: RoomId
    join: Event
    state: StateMap
    """After the join."""

    reply: Reply
    """To `send_join`."""


class History(Struct, frozen=True):
    """A member, and messages of its own that stand one after the other."""

    member: Member
    messages: Sequence[Json]


class Members:
    """The memberships of one run."""

    def __init__(self) -> None:
        self.history: History | None = None
        """What all checks share that change nothing."""

        self._locks: dict[str, DeferredLock] = {}
        self._there: dict[tuple[str, str], Ours] = {}
        self.shared: dict[str, Member] = {}
        """Those that checks of events share, by room version."""

    def lock(self, room_id: str) -> DeferredLock:
        """The turn to change a room."""
        return self._locks.setdefault(room_id, DeferredLock())

    def note(self, ours: Ours, room_id: str) -> bool:
        """Note that a user of ours may be in a room, invited to it, or knocks.

        Whether that is new.
        """
        key = (ours.name.name, room_id)
        is_new = key not in self._there
        self._there[key] = ours
        return is_new

    def forget(self, ours: Ours, room_id: str) -> None:
        """Note that a user of ours has nothing to do with a room."""
        self._there.pop((ours.name.name, room_id), None)

    def take_all(self) -> Sequence[tuple[Ours, str]]:
        """All servers that have to leave, and the rooms; they are forgotten here."""
        there, self._there = self._there, {}
        return [(ours, room_id) for (_, room_id), ours in there.items()]

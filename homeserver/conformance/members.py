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
        self._members: list[Member] = []

    def lock(self, room_id: str) -> DeferredLock:
        """The turn to change a room."""
        return self._locks.setdefault(room_id, DeferredLock())

    def add(self, member: Member) -> None:
        """Note a member, who has to leave."""
        self._members.append(member)

    def take_all(self) -> Sequence[Member]:
        """All members that have to leave, who are forgotten here."""
        members, self._members = self._members, []
        return members

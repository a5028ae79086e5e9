"""A room of the target with some history, which checks that change nothing share.

Rules: it is joined once in a run, because targets limit joins. Its messages stand one
after the other, without a branch.
"""

from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.joining import enter
from homeserver.conformance.members import History
from homeserver.conformance.membership_requests import path
from homeserver.conformance.ours import Ours
from homeserver.conformance.reply import Reply
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import EventId

VERSION = "10"

MESSAGES = 12
"""More than `get_missing_events` gives by default."""


class PastRoom(JoinedRoom):
    """A room, and the messages of ours in it."""

    def __init__(self, t: Target, history: History) -> None:
        super().__init__(t, history.member)
        self.messages = history.messages

    @property
    def ids(self) -> list[EventId]:
        """The IDs of the messages."""
        return [self.id_of(each) for each in self.messages]

    async def as_stranger(self, route: str, *steps: str, query: str = "") -> Reply:
        """The reply to a GET about it of a server that is not in it."""
        return await ask(
            self._t, self._t.server(), route, self.room_id, *steps, query=query
        )


async def ask(t: Target, ours: Ours, route: str, *steps: str, query: str = "") -> Reply:
    """The reply to a GET of a server of ours; raises `NoAnswer`."""
    return await t.request(ours, "GET", path(route, *steps), query=query or None)


async def past_room(t: Target) -> PastRoom:
    """The room; raises `NoAnswer` and `NotTestable`."""
    members = t.ground.members
    async with members.lock("history"):
        if members.history is None:
            members.history = await _made(t)
    return PastRoom(t, members.history)


async def _made(t: Target) -> History:
    joined = await enter(t, VERSION)
    messages: list[Json] = []
    async with joined.turn():
        place = await joined.place()
        for number in range(MESSAGES):
            message = await joined.message(f"message {number}", at=place)
            messages.append(message)
            place = joined.after(message)
        await joined.put(*messages[:-1])
        await joined.send(messages[-1])
    return History(joined.member, messages)

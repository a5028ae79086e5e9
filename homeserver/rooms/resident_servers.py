"""The servers in a room, in each of its states.

Rules: the states that were asked for last are remembered, as messages have few states.
Those after an event follow from those before it, so that a large state is looked
through only where a user stops being joined.
"""

from collections import OrderedDict
from collections.abc import Callable

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.state import (
    StateMap,
    membership,
    membership_of,
    residents,
    state_of,
)

_REMEMBERED = 16  # states


class ResidentServers:
    """The servers with a joined user, by the numbers of a room's states."""

    def __init__(self, state: Callable[[int], StateMap]) -> None:
        """`state` gives a state by its number."""
        self._state = state
        self._known: OrderedDict[int, frozenset[ServerName]] = OrderedDict()

    def at(self, number: int) -> frozenset[ServerName]:
        """Those in the state of that number."""
        found = self._known.get(number)
        if found is None:
            found = residents(self._state(number))
            self._remember(number, found)
        self._known.move_to_end(number)
        return found

    def follow(self, before: int, event: Event, after: int) -> None:
        """Derive those after a state event from those before it, if they are known."""
        found = self._known.get(before)
        if found is None or after in self._known:
            return
        if event.type == "m.room.member":
            user_id = event.state_key or ""
            if membership_of(event) == "join":
                found |= residents(state_of([event]))
            elif membership(self._state(before), user_id) == "join":
                return  # another user of the same server may be joined
        self._remember(after, found)

    def _remember(self, number: int, found: frozenset[ServerName]) -> None:
        self._known[number] = found
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

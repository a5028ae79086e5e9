"""History visibility: the events of a room that another server may read.

Rules: a server may read an event if one of its users may. The state at the event
decides, not the current state. The caller redacts or withholds other events. Events of
states and auth chains are always served in full.

Specification: Client-server API, "Room History Visibility".
"""

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.receipt import Outcome, state_after
from homeserver.protocol.rooms.state import StateKey, StateMap, has_user_with

HISTORY_VISIBILITY: StateKey = ("m.room.history_visibility", "")

_DEFAULT = "shared"  # where there is none, or one that is not understood
_KNOWN = frozenset({"world_readable", "shared", "invited", "joined"})


def visibility(state: StateMap) -> str:
    """The history visibility of a state."""
    event = state.get(HISTORY_VISIBILITY)
    value = None if event is None else event.content.get("history_visibility")
    return value if isinstance(value, str) and value in _KNOWN else _DEFAULT


def may_read(
    event: Event, before: StateMap, server_name: ServerName, *, is_resident: bool
) -> bool:
    """Whether a server may read an event of a room.

    `before` is the state before the event. `is_resident` says whether a user of the
    server is in the room now, or was at some time after the event.
    """
    # The two states differ for a server in changes of the visibility and in memberships
    # of its own users alone, which may be read if either of them allows it.
    after = state_after(event, Outcome.ACCEPTED, before)
    return any(
        _may_read_by(state, server_name, is_resident=is_resident)
        for state in (before, after)
    )


def _may_read_by(
    state: StateMap, server_name: ServerName, *, is_resident: bool
) -> bool:
    allowed = visibility(state)
    if allowed == "world_readable":
        return True
    if allowed == "shared" and is_resident:
        return True
    memberships = {"join", "invite"} if allowed == "invited" else {"join"}
    return has_user_with(state, server_name, memberships)

"""A state of a room by the IDs of its events."""

from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.state import StateMap


def ids(state: StateMap) -> dict[tuple[str, str], EventId]:
    """A state by the IDs of its events."""
    return {key: event.event_id for key, event in state.items()}

"""The changes that make power levels which the rules forbid.

Rules: as in `event_changes`. Whatever the event was, it is the power levels of the room
with one change.

Specification: Room Versions, "Authorization rules".
"""

from homeserver.lab.spoil.event_changes import Workpiece
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.rooms.power_levels import (
    INFINITE,
    Power,
    PowerLevels,
    UnreadableLevel,
)
from homeserver.protocol.rooms.state import CREATE, POWER_LEVELS
from homeserver.protocol.rooms.versions import rules_of


def raise_sender(piece: Workpiece, _: str) -> None:
    """Give the sender more power than it has."""
    sender, power = _sender(piece)
    _change(piece, {sender: int(power) + 1})


def demote_equal(piece: Workpiece, _: str) -> None:
    """Take power from a user who has as much as the sender."""
    sender, power = _sender(piece)
    for kind, user in sorted(piece.state):
        if kind == "m.room.member" and user != sender and _power(piece, user) == power:
            _change(piece, {user: int(power) - 1})
            return
    raise InvalidParam(
        "`spoil`: `demoted-equal` needs another user with the power of the sender"
    )


def write_text(piece: Workpiece, _: str) -> None:
    """Write a level as a text."""
    _change(piece, {}, users_default="0")


def name_creator(piece: Workpiece, _: str) -> None:
    """Name the creator of the room among the users."""
    create = piece.state.get(CREATE)
    if create is None:
        raise InvalidParam("`spoil`: `creator-levels` needs a room of the server")
    _change(piece, {create.sender.user_id: 100})


def _change(piece: Workpiece, users: Json, **members: object) -> None:
    """Be the power levels of the room with these users and members."""
    event = piece.state.get(POWER_LEVELS)
    before: Json = {} if event is None else event.content
    named = before.get("users")
    known = named if isinstance(named, dict) else {}
    kind, key = POWER_LEVELS
    content = {**before, **members, "users": {**known, **users}}
    piece.pdu |= {"type": kind, "state_key": key, "content": content}


def _sender(piece: Workpiece) -> tuple[str, Power]:
    """The sender and its power, which is a number; raises `InvalidParam`."""
    sender = str(piece.pdu.get("sender"))
    power = _power(piece, sender)
    if power == INFINITE:
        raise InvalidParam(
            f"`spoil`: {sender} has all power; give another `sender`, who has some"
        )
    return sender, power


def _power(piece: Workpiece, user: str) -> Power:
    state = piece.state
    levels = PowerLevels(
        state.get(POWER_LEVELS), state.get(CREATE), rules_of(piece.room_version)
    )
    try:
        return levels.of(user)
    except UnreadableLevel as problem:
        raise InvalidParam(
            f"`spoil`: the power levels of the room: {problem}"
        ) from None

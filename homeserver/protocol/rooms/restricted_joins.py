"""Joins to restricted rooms: the local user that authorises them.

Rules: the authorization rules require an authorising user with the power to invite.
The server of that user checks the conditions of the room, here, before it signs.

| is a condition met? | may a local user invite? | answer |
|---|---|---|
| yes | yes | that user |
| yes | no | `UnableToGrantJoin`: another server may |
| none is known to be | | `UnableToAuthoriseJoin`: another server may know |
| none is | | `Forbidden` |

Specification: Server-server API, "Joining Rooms"; Client-server API, "Restricted
rooms".
"""

from collections.abc import Callable

from homeserver.protocol.errors import Forbidden, InvalidParam, ProtocolError
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import RoomId, ServerName, UserId, parse_room_id
from homeserver.protocol.rooms.power_levels import PowerLevels, UnreadableLevel
from homeserver.protocol.rooms.state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    StateMap,
    membership,
    users_with,
)
from homeserver.protocol.rooms.versions import rules_of


class UnableToAuthoriseJoin(ProtocolError):
    """We cannot tell whether a condition of the room is met; another server may."""

    errcode = "M_UNABLE_TO_AUTHORISE_JOIN"


class UnableToGrantJoin(ProtocolError):
    """A condition of the room is met, but no user of ours may invite."""

    errcode = "M_UNABLE_TO_GRANT_JOIN"


def needs_authorisation(
    state: StateMap, room_version: RoomVersion, user: UserId
) -> bool:
    """Whether a user can join a room only if a user of it authorises the join."""
    event = state.get(JOIN_RULES)
    rule = None if event is None else event.content.get("join_rule")
    rules = rules_of(room_version)
    is_outside = membership(state, user.user_id) not in {"join", "invite"}
    return isinstance(rule, str) and rule in rules.restricted and is_outside


def authorising_user(
    state: StateMap,
    room_version: RoomVersion,
    server_name: ServerName,
    is_in: Callable[[RoomId], bool | None],
) -> UserId:
    """The user of ours that authorises a join to a restricted room.

    `is_in` says whether the joining user is in another room; None where that is not
    known. Raises the errors of the table above.
    """
    met = [is_in(room_id) for room_id in allowed_rooms(state)]
    if True not in met:
        if None in met:
            raise UnableToAuthoriseJoin(
                "it is not known here whether the user is in a room that the join rule "
                "allows"
            )
        raise Forbidden("the user is in no room that the join rule allows")
    found = _inviters(state, room_version, server_name)
    if not found:
        raise UnableToGrantJoin(f"no user of {server_name} may invite to the room")
    return found[0]


def allowed_rooms(state: StateMap) -> list[RoomId]:
    """The rooms whose members the join rule admits, without malformed entries."""
    event = state.get(JOIN_RULES)
    allow = None if event is None else event.content.get("allow")
    found: list[RoomId] = []
    for entry in allow if isinstance(allow, list) else []:
        if not isinstance(entry, dict) or entry.get("type") != "m.room_membership":
            continue
        room_id = entry.get("room_id")
        if isinstance(room_id, str):
            try:
                found.append(parse_room_id(room_id))
            except InvalidParam:
                continue
    return found


def _inviters(
    state: StateMap, room_version: RoomVersion, server_name: ServerName
) -> list[UserId]:
    """The users of a server that are in the room and may invite, in a fixed order."""
    levels = PowerLevels(
        state.get(POWER_LEVELS), state.get(CREATE), rules_of(room_version)
    )
    return [
        user
        for user in sorted(users_with(state, {"join"}), key=str)
        if user.server_name == server_name and _may_invite(levels, user.user_id)
    ]


def _may_invite(levels: PowerLevels, user_id: str) -> bool:
    try:
        return levels.of(user_id) >= levels.to("invite")
    except UnreadableLevel:
        return False

"""A room's state: the event that holds for each type and state key.

Rules: readers never change a state. Its events were accepted before. A malformed
member reads as absent.

Specification: Server-server API, "Room State Resolution"; Room Versions.
"""

from collections.abc import Container, Iterable, Mapping

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.protocol.rooms.versions import VersionRules

StateKey = tuple[str, str]
"""An event type and a state key."""

StateMap = Mapping[StateKey, Event]

CREATE: StateKey = ("m.room.create", "")
POWER_LEVELS: StateKey = ("m.room.power_levels", "")
JOIN_RULES: StateKey = ("m.room.join_rules", "")


def member_key(user_id: str) -> StateKey:
    """The key of a user's membership in a state."""
    return ("m.room.member", user_id)


def key_of(event: Event) -> StateKey | None:
    """The key of an event in a state; None if it is not a state event."""
    return None if event.state_key is None else (event.type, event.state_key)


def state_of(events: Iterable[Event]) -> dict[StateKey, Event]:
    """The state that state events make, of which later ones replace earlier ones."""
    return {(x.type, x.state_key): x for x in events if x.state_key is not None}


def membership_of(event: Event) -> str:
    """The membership that a member event gives; empty where it gives none."""
    membership = event.content.get("membership")
    return membership if isinstance(membership, str) else ""


def membership(state: StateMap, user_id: str) -> str:
    """The membership of a user: `leave` where the state has none."""
    event = state.get(member_key(user_id))
    return "leave" if event is None else membership_of(event)


def creator(create: Event, rules: VersionRules) -> str | None:
    """The user that created a room, and joins it first; None where none is named."""
    if not rules.has_creator_in_content:
        return create.sender.user_id
    named = create.content.get("creator")
    return named if isinstance(named, str) else None


def creators(create: Event, rules: VersionRules) -> frozenset[str | None]:
    """The users that created a room, of which only version 12 knows several."""
    more = create.content.get("additional_creators")
    if not rules.has_privileged_creators or not isinstance(more, list):
        more = []
    return frozenset([creator(create, rules), *(x for x in more if isinstance(x, str))])


def users_with(state: StateMap, memberships: Container[str]) -> list[UserId]:
    """The users that have one of these memberships, without malformed user IDs."""
    found: list[UserId] = []
    for (kind, user_id), event in state.items():
        if kind == "m.room.member" and membership_of(event) in memberships:
            if event.sender.user_id == user_id:  # of a join: it is parsed already
                found.append(event.sender)
                continue
            try:
                found.append(UserId.parse(user_id))
            except InvalidParam:
                continue
    return found


def residents(state: StateMap) -> frozenset[ServerName]:
    """The servers that are in a room: those of its joined users."""
    return frozenset(user.server_name for user in users_with(state, {"join"}))


def has_user_with(
    state: StateMap, server_name: ServerName, memberships: Container[str]
) -> bool:
    """Whether a user of a server has one of these memberships."""
    # Asked for each event of a reply: IDs are compared and not parsed.
    return any(
        kind == "m.room.member"
        and is_of(user_id, server_name)
        and membership_of(event) in memberships
        for (kind, user_id), event in state.items()
    )


def is_of(user_id: str, server_name: ServerName) -> bool:
    """Whether a text is the ID of a user of a server."""
    local, _, domain = user_id.partition(":")
    return local.startswith("@") and domain == server_name.name

"""Auth events selection: the state events that an event may cite.

Rules: one selection serves for making events and for checking them. A received event
may cite fewer events than the selection has, never others. An event of ours leaves out
the keys that the state lacks.

Specification: Server-server API, "Auth events selection".
"""

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import AUTHORISED_VIA, Event
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.rooms.state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    StateKey,
    StateMap,
    member_key,
)
from homeserver.protocol.rooms.versions import rules_of


def auth_keys(
    kind: str, sender: str, state_key: str | None, content: Json, version: RoomVersion
) -> list[StateKey]:
    """The types and state keys of the events that may authorise such an event.

    Each once, in the order of the text.
    """
    if kind == "m.room.create":
        return []
    keys = [CREATE] if rules_of(version).has_create_in_auth_events else []
    keys += [POWER_LEVELS, member_key(sender)]
    if kind == "m.room.member":
        keys += _member_keys(state_key, content, version)
    return list(dict.fromkeys(keys))


def auth_keys_of(event: Event) -> list[StateKey]:
    """The types and state keys of the events that an event may cite."""
    return auth_keys(
        event.type,
        event.sender.user_id,
        event.state_key,
        event.content,
        event.room_version,
    )


def select_auth_events(keys: list[StateKey], state: StateMap) -> list[Event]:
    """The events of a state that an event with these `auth_keys` cites."""
    return [state[key] for key in keys if key in state]


def _member_keys(
    state_key: str | None, content: Json, version: RoomVersion
) -> list[StateKey]:
    membership = content.get("membership")
    keys: list[StateKey] = [] if state_key is None else [member_key(state_key)]
    # A tuple, not a set: a peer may send a list or an object, which have no hash.
    if membership in ("join", "invite", "knock"):
        keys.append(JOIN_RULES)
    if membership == "invite":
        token = invite_token(content)
        keys += [] if token is None else [("m.room.third_party_invite", token)]
    via = content.get(AUTHORISED_VIA)
    if (
        membership == "join"
        and rules_of(version).has_signed_joins
        and isinstance(via, str)
    ):
        keys.append(member_key(via))
    return keys


def invite_token(content: Json) -> str | None:
    """The token of the third-party invite that an invite rests on; None if none."""
    invite = content.get("third_party_invite")
    signed = invite.get("signed") if isinstance(invite, dict) else None
    token = signed.get("token") if isinstance(signed, dict) else None
    return token if isinstance(token, str) else None

"""The changes that make an invite wrong: a request to `invite` of version 2.

Rules: as in `changes`. The rest of the invite stays right: an event that is changed is
hashed and signed again, and the path has its ID.

Specification: Server-server API, "Inviting to a room".
"""

from homeserver.lab.spoil.changes import OTHER_SERVER
from homeserver.lab.spoil.draft import Draft
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam, ProtocolError, quote
from homeserver.protocol.events.event import Event, event_id, hash_and_sign
from homeserver.protocol.events.room_versions import (
    IdFormat,
    RoomVersion,
    parse_room_version,
)

_CREATE = "m.room.create"


def send_join(draft: Draft, _: str) -> None:
    """Let the event be a join."""
    pdu, _room_version = _event(draft, "invite-membership")
    content = pdu.get("content")
    known = content if isinstance(content, dict) else {}
    _replace_event(draft, {**pdu, "content": {**known, "membership": "join"}})


def invite_stranger(draft: Draft, _: str) -> None:
    """Let the event invite a user of a third server."""
    pdu, _room_version = _event(draft, "invite-state-key")
    _replace_event(draft, {**pdu, "state_key": f"@spoiled:{OTHER_SERVER}"})


def name_other_id(draft: Draft, _: str) -> None:
    """Let the path have the ID of another event."""
    pdu, room_version = _event(draft, "invite-event-id")
    right = event_id(pdu, room_version)
    last = "x" if right[-1] != "x" else "y"
    draft.replace_last_step(right[:-1] + last)


def name_other_version(draft: Draft, _: str) -> None:
    """Name a room version whose events have another form."""
    _pdu, room_version = _event(draft, "invite-room-version")
    other = "11" if room_version.id_format is IdFormat.SENT else "1"
    draft.replace_content({**_content(draft), "room_version": other})


def drop_create(draft: Draft, _: str) -> None:
    """Leave the create event out of the state."""
    state = _state(draft, "invite-no-create")
    kept = [each for each in state if each.get("type") != _CREATE]
    draft.replace_content({**_content(draft), "invite_room_state": kept})


def change_create(draft: Draft, _: str) -> None:
    """Let the state have the create event of another room."""
    state = _state(draft, "invite-other-room")

    def other(pdu: Json) -> Json:
        if pdu.get("type") != _CREATE:
            return pdu
        content = pdu.get("content")
        known = content if isinstance(content, dict) else {}
        return _signed(draft, {**pdu, "content": {**known, "spoiled": True}})

    others = [other(each) for each in state]
    draft.replace_content({**_content(draft), "invite_room_state": others})


def _content(draft: Draft) -> Json:
    return draft.must_have_object("invite")


def _version(draft: Draft) -> RoomVersion:
    return parse_room_version(_content(draft).get("room_version"))


def _event(draft: Draft, name: str) -> tuple[Json, RoomVersion]:
    """The event of an invite with its room version; raises `InvalidParam`."""
    pdu = _content(draft).get("event")
    if not isinstance(pdu, dict) or "/invite/" not in draft.target:
        raise InvalidParam(
            f"`spoil`: {quote(name)} needs an invite: `event` and `room_version`"
        )
    try:
        return Event.parse(pdu, _version(draft)).pdu, _version(draft)
    except ProtocolError as problem:
        raise InvalidParam(f"`spoil`: {quote(name)}: `event`: {problem}") from None


def _state(draft: Draft, name: str) -> list[Json]:
    """The state of an invite to a room of version 12; raises `InvalidParam`."""
    _pdu, room_version = _event(draft, name)
    state = _content(draft).get("invite_room_state")
    items = state if isinstance(state, list) else []
    found = [each for each in items if isinstance(each, dict)]
    has_create = any(each.get("type") == _CREATE for each in found)
    if not has_create or not room_version.has_hash_room_id:
        raise InvalidParam(
            f"`spoil`: {quote(name)} needs a room of version 12, whose create event "
            "is in `invite_room_state`"
        )
    return found


def _signed(draft: Draft, pdu: Json) -> Json:
    bare = {k: v for k, v in pdu.items() if k not in {"signatures", "hashes"}}
    identity = draft.identity
    return hash_and_sign(
        bare, _version(draft), identity.server_name, identity.signing_keys
    )


def _replace_event(draft: Draft, pdu: Json) -> None:
    signed = _signed(draft, pdu)
    draft.replace_content({**_content(draft), "event": signed})
    draft.replace_last_step(event_id(signed, _version(draft)))

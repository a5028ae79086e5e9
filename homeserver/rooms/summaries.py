"""The rooms of one of our servers, as others look for them: aliases, lists, spaces.

Rules: only rooms that a user of ours is in are shown. What is shown of a room to a
server is what one of its users could see without being in it, and nothing redacted.

Specification: Server-server API, "Public Room Directory", "Spaces", "Querying for
information"; Client-server API, `GET /hierarchy`.
"""

from collections.abc import Mapping, Sequence

from homeserver.protocol.canonical_json import Json, as_list, as_object, as_text
from homeserver.protocol.errors import InvalidParam, NotFound, quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.protocol.rooms.history_visibility import visibility
from homeserver.protocol.rooms.restricted_joins import allowed_rooms
from homeserver.protocol.rooms.state import has_user_with, users_with
from homeserver.rooms.question import Question
from homeserver.rooms.resident import MAX_ALLOWED_ROOMS, Resident
from homeserver.rooms.room import Room

_MAX_ROOMS = 100  # in one page of the list, whatever limit is asked for
_MAX_CHILDREN = 100  # of a space
_MAX_SERVERS = 50  # that are named beside an alias

_OPEN_RULES = frozenset({"public", "knock", "knock_restricted"})
_RESTRICTED = frozenset({"restricted", "knock_restricted"})


async def alias(resident: Resident, question: Question) -> Json:
    """GET query/directory: the room of an alias, and servers that are in it."""
    name = question.one_of("room_alias")
    room_id = await resident.rooms.directory.alias(name)
    if room_id is None:
        raise NotFound(f"there is no alias {quote(name)} here")
    room = await resident.rooms.find(room_id)
    servers = {resident.server_name.name}
    if room is not None and room.residents:
        servers = {each.name for each in room.residents}
    own_first = sorted(servers, key=lambda x: (x != resident.server_name.name, x))
    return {"room_id": room_id, "servers": own_first[:_MAX_SERVERS]}


async def public_rooms(resident: Resident, question: Question) -> Json:
    """GET publicRooms: a page of the list."""
    limit = question.number("limit", _MAX_ROOMS)
    since = question.one_of("since") if "since" in question.query else ""
    return await _page(resident, limit, since, {})


async def searched_rooms(resident: Resident, question: Question) -> Json:
    """POST publicRooms: the same with a filter."""
    content = question.content
    limit = question.count("limit", _MAX_ROOMS)
    since = content.get("since", "")
    if not isinstance(since, str):
        raise InvalidParam(f"`since` is {quote(since)}, not a string")
    wanted = as_object(content.get("filter", {}), "`filter`")
    return await _page(resident, limit, since, wanted)


async def _page(resident: Resident, limit: int, since: str, wanted: Json) -> Json:
    """The rooms after the one that `since` names, in the order of their IDs."""
    term = wanted.get("generic_search_term")
    if term is not None:
        term = as_text(term, "`generic_search_term`")
    types = wanted.get("room_types")
    if types is not None:
        types = as_list(types, "`room_types`")
    found: list[Json] = []
    for room_id in await resident.rooms.directory.listed_rooms():
        room = await resident.rooms.find(room_id)
        if room is None or not room.has_member(resident.server_name):
            continue
        shown = summary(room)
        if types is not None and shown.get("room_type") not in types:
            continue
        if term is not None and not _matches(shown, term):
            continue
        found.append(shown)
    after = [each for each in found if str(each["room_id"]) > since]
    chunk = after[: min(limit, _MAX_ROOMS)] if limit > 0 else after[:_MAX_ROOMS]
    page: Json = {"chunk": chunk, "total_room_count_estimate": len(found)}
    if len(chunk) < len(after) and chunk:
        page["next_batch"] = chunk[-1]["room_id"]
    return page


def _matches(shown: Json, term: str) -> bool:
    names = (shown.get(x) for x in ("name", "topic", "canonical_alias", "room_id"))
    return any(term.lower() in str(each).lower() for each in names if each)


def summary(room: Room) -> Json:
    """What the list of public rooms shows of a room."""
    current = room.current
    texts = {
        "name": _text(room, "m.room.name", "name"),
        "topic": _text(room, "m.room.topic", "topic"),
        "canonical_alias": _text(room, "m.room.canonical_alias", "alias"),
        "avatar_url": _text(room, "m.room.avatar", "url"),
        "room_type": _text(room, "m.room.create", "type"),
        "join_rule": _text(room, "m.room.join_rules", "join_rule"),
    }
    guests = _text(room, "m.room.guest_access", "guest_access")
    shown = {name: text for name, text in texts.items() if text is not None}
    return {
        **shown,
        "room_id": room.room_id,
        "num_joined_members": len(users_with(current, {"join"})),
        "world_readable": visibility(current) == "world_readable",
        "guest_can_join": guests == "can_join",
    }


def _text(room: Room, kind: str, member: str) -> str | None:
    """A text of a state event; None if it is redacted, and such a text with it."""
    found = room.current.get((kind, ""))
    value = None if found is None else room.as_served(found).content.get(member)
    return value if isinstance(value, str) else None


async def hierarchy(resident: Resident, question: Question) -> Json:
    """GET hierarchy: a space and its children."""
    room = await resident.room(question)
    if not await _is_accessible(resident, room, question.origin):
        raise NotFound(f"the room {quote(room.room_id)} is not known here")
    is_suggested_only = question.flag("suggested_only")
    children = _children(room, is_suggested_only=is_suggested_only)
    shown: list[Json] = []
    inaccessible: list[str] = []
    for child in children:
        found = await resident.rooms.find(RoomId(child.state_key or ""))
        if found is None or not found.has_member(resident.server_name):
            continue
        if await _is_accessible(resident, found, question.origin):
            shown.append(_space(found, []))
        else:
            inaccessible.append(found.room_id)
    return {
        "room": _space(room, children),
        "children": shown,
        "inaccessible_children": inaccessible,
    }


def _space(room: Room, children: Sequence[Event]) -> Json:
    current = room.current
    shown = summary(room)
    encryption = _text(room, "m.room.encryption", "algorithm")
    rule = shown.get("join_rule")
    more: Mapping[str, object] = {
        "encryption": encryption,
        "allowed_room_ids": allowed_rooms(current) if rule in _RESTRICTED else None,
    }
    return {
        **shown,
        **{name: value for name, value in more.items() if value is not None},
        "room_version": room.room_version.version,
        "children_state": [
            {
                "type": each.type,
                "state_key": each.state_key,
                "content": each.content,
                "sender": each.sender.user_id,
                "origin_server_ts": each.origin_server_ts,
            }
            for each in children
        ],
    }


def _children(room: Room, *, is_suggested_only: bool) -> list[Event]:
    found: list[Event] = []
    for (kind, _), event in room.current.items():
        if kind != "m.space.child":
            continue
        child = room.as_served(event)
        via = child.content.get("via")
        is_suggested = child.content.get("suggested") is True
        is_wanted = is_suggested or not is_suggested_only
        if isinstance(via, list) and via and is_wanted:
            found.append(child)
    return found[:_MAX_CHILDREN]


async def _is_accessible(resident: Resident, room: Room, origin: ServerName) -> bool:
    """Whether a user of a server could join a room, or see it without joining."""
    current = room.current
    rule = _text(room, "m.room.join_rules", "join_rule") or "invite"
    if rule in _OPEN_RULES or visibility(current) == "world_readable":
        return True
    if has_user_with(current, origin, {"join", "invite"}):
        return True
    if rule not in _RESTRICTED:
        return False
    for room_id in allowed_rooms(current)[:MAX_ALLOWED_ROOMS]:
        allowed = await resident.rooms.find(room_id)
        if allowed is not None and origin in allowed.residents:
            return True
    return False

"""Server ACLs: the servers whose requests a room accepts.

Rules: an ACL applies to the server that makes a request, not to the senders of the
events in it, and not to events that the room has already. A malformed list counts as
empty; a malformed entry is skipped.

Specification: Client-server API, "Server Access Control Lists (ACLs) for rooms";
Appendices, "Glob-style matching".
"""

from collections.abc import Iterator

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.state import StateKey, StateMap

SERVER_ACL: StateKey = ("m.room.server_acl", "")


def may_take_part(state: StateMap, server_name: ServerName) -> bool:
    """Whether the ACL of a room, if it has one, lets a server make requests."""
    event = state.get(SERVER_ACL)
    return event is None or is_allowed(event.content, server_name)


def is_allowed(acl: Json, server_name: ServerName) -> bool:
    """Whether an ACL, the content of its event, allows a server."""
    if server_name.is_ip and acl.get("allow_ip_literals") is False:
        return False
    name = _without_port(server_name).lower()
    if any(matches(pattern, name) for pattern in _patterns(acl, "deny")):
        return False
    return any(matches(pattern, name) for pattern in _patterns(acl, "allow"))


def matches(pattern: str, name: str) -> bool:
    """Whether the whole of a name is of a pattern of `*` and `?`.

    Its cost is bounded by the sum of both lengths, however many `*` and `?` there are:
    each part between two `*` is looked for once, from the left.
    """
    first, *parts = pattern.split("*")
    if not parts:
        return len(first) == len(name) and _stands_at(first, name, 0)
    *between, last = parts
    end = len(name) - len(last)
    if not _stands_at(first, name, 0) or not _stands_at(last, name, end):
        return False
    at = len(first)
    for part in between:
        found = _find(part, name, at)
        if found is None:
            return False
        at = found + len(part)
    return at <= end


def _find(part: str, name: str, start: int) -> int | None:
    """Where a part without `*` stands first in a name, from `start` on."""
    if "?" not in part:
        at = name.find(part, start)
        return at if at >= 0 else None
    # The Shift-And algorithm: a bit of `begun` is set if as many characters of the part
    # as its number says, and one more, stand at the end of what was read.
    places: dict[str, int] = {}
    for number, c in enumerate(part):
        places[c] = places.get(c, 0) | 1 << number
    begun = 0
    for at in range(start, len(name)):
        begun = (begun << 1 | 1) & (places.get(name[at], 0) | places["?"])
        if begun >> (len(part) - 1):
            return at - len(part) + 1
    return None


def _stands_at(part: str, name: str, at: int) -> bool:
    if at < 0 or at + len(part) > len(name):
        return False
    if "?" not in part:
        return name.startswith(part, at)
    return all(c in (name[at + i], "?") for i, c in enumerate(part))


def _patterns(acl: Json, member: str) -> Iterator[str]:
    entries = acl.get(member)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, str):
            yield entry.lower()


def _without_port(server_name: ServerName) -> str:
    if server_name.port is None:
        return server_name.name
    return server_name.name.rpartition(":")[0]

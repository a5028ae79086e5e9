"""What checks need of the target's own: users, rooms, media, found or made.

Rules: what was named is found by what the target says of it. What is missing is made by
`--setup`, one after the other; what cannot be made leaves its need unmet, with why.

A special room is about guests: names of ours that are chosen before it is made.
"""

from collections.abc import Mapping, Sequence, Set

from msgspec import Struct

from homeserver.conformance.advice import NO_ROOMS
from homeserver.conformance.check import (
    ACL_ROOM,
    ALIAS,
    BAN_ROOM,
    CLIENT,
    HIDDEN_ROOM,
    INVITE_ROOM,
    KNOCK_ROOM,
    MEDIA,
    POWER_ROOM,
    RESTART,
    RESTRICTED_ROOM,
    ROOM_CODE,
    UNGRANTED_ROOM,
    UNJUDGED_ROOM,
    USER,
    Need,
    room,
)
from homeserver.conformance.facts import Facts
from homeserver.conformance.membership_requests import make, path, quoted
from homeserver.conformance.outcome import NotTestable
from homeserver.conformance.setup import Maker, SetupFailed
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json

ROOM_VERSIONS = ("1", "2", "3", "6", "9", "10", "11", "12")

SPECIAL_VERSION = "10"
"""Of special rooms: the first that has all their join rules."""

_USERS = 2

_BY_NAME = "name one by --room, or use --setup"
_BY_SETUP = "use --setup, which makes one"


class _Special(Struct, frozen=True):
    """A special room, as set-up is asked for it."""

    guests: int = 0
    """How many names of ours it is about."""

    is_invite: bool = False
    """Whether it invites their users."""

    is_ban: bool = False
    is_acl: bool = False
    join_rule: str | None = None
    has_known_condition: bool = False
    """Whether its members are those of the public room; else of an unknown one."""

    visibility: str | None = None
    invite_level: int | None = None
    guests_level: int | None = None
    """The power of their users. Then every member may set the topic."""

    def state(self, public_room: str | None, denied: Sequence[str]) -> Json:
        """Its state, where that is not as usual."""
        state: Json = {}
        if self.join_rule is not None:
            state["m.room.join_rules"] = {"join_rule": self.join_rule}
        if self.join_rule == "restricted":
            known = public_room if self.has_known_condition else None
            allowed = known or "!unknown:elsewhere.invalid"
            condition = {"type": "m.room_membership", "room_id": allowed}
            state["m.room.join_rules"] = {
                "join_rule": "restricted",
                "allow": [condition],
            }
        if self.is_acl:
            rule = {"allow": ["*"], "deny": denied, "allow_ip_literals": True}
            state["m.room.server_acl"] = rule
        if self.visibility is not None:
            content = {"history_visibility": self.visibility}
            state["m.room.history_visibility"] = content
        return state

    def about(self, users: Sequence[str]) -> Json:
        """What else set-up is asked for, about the users of the guests."""
        found: Json = {}
        if self.is_invite:
            found["invite"] = users
        if self.is_ban:
            found["ban"] = users
        if self.invite_level is not None:
            found["power_levels"] = {"invite": self.invite_level}
        if self.guests_level is not None:
            found["power_levels"] = {
                "users": dict.fromkeys(users, self.guests_level),
                "events": {"m.room.topic": 0},
            }
        return found


_SPECIAL: Mapping[Need, _Special] = {
    KNOCK_ROOM: _Special(join_rule="knock"),
    INVITE_ROOM: _Special(guests=2, is_invite=True, join_rule="invite"),
    RESTRICTED_ROOM: _Special(join_rule="restricted", has_known_condition=True),
    UNJUDGED_ROOM: _Special(join_rule="restricted"),
    UNGRANTED_ROOM: _Special(
        join_rule="restricted", has_known_condition=True, invite_level=101
    ),
    BAN_ROOM: _Special(guests=1, is_ban=True),
    POWER_ROOM: _Special(guests=1, guests_level=50),
    ACL_ROOM: _Special(guests=2, is_acl=True),
    HIDDEN_ROOM: _Special(visibility="joined"),
}


def kind_of(need: Need) -> str:
    """What `Facts.rooms` and `Facts.guests` call a special room."""
    return need.code.removeprefix(ROOM_CODE)


async def provide(target: Target, rooms: Sequence[str], needs: Set[str]) -> None:
    """Find the rooms that were named, and make what is missing of some needs."""
    facts = target.facts
    await _find_rooms(target, rooms)
    facts.unmet.setdefault(USER.code, "name one by --user @NAME:TARGET, or use --setup")
    facts.unmet.setdefault(MEDIA.code, _BY_SETUP)
    facts.unmet.setdefault(
        ALIAS.code, "name one by --room #ALIAS:TARGET, or use --setup"
    )
    facts.unmet |= {room(each).code: _BY_NAME for each in ROOM_VERSIONS}
    facts.unmet |= {each.code: _BY_SETUP for each in _SPECIAL}
    if facts.setup is None:
        facts.unmet[RESTART.code] = "use --setup, which restarts it"
        facts.unmet[CLIENT.code] = "use --setup, which lets its user join"
        if not facts.rooms and any(each.startswith(ROOM_CODE) for each in needs):
            facts.advice.append(NO_ROOMS)
    else:
        await _make(target, facts.setup, needs)
    for code, is_met in {
        USER.code: facts.users,
        MEDIA.code: facts.media,
        ALIAS.code: facts.alias,
        **{room(kind).code: room_id for kind, room_id in facts.rooms.items()},
    }.items():
        if is_met:
            facts.unmet.pop(code, None)


async def _make(target: Target, setup: Maker, needs: Set[str]) -> None:
    facts = target.facts
    while USER.code in needs and len(facts.users) < _USERS:
        made = await _made(target, setup, USER, "user")
        if "user_id" not in made:
            break
        facts.users = [*facts.users, str(made["user_id"])]
    if MEDIA.code in needs:
        made = await _made(target, setup, MEDIA, "media")
        facts.media = str(made["media_id"]) if "media_id" in made else None
    for version in _versions(facts, needs):
        await _make_room(target, setup, room(version), {"version": version})
    for need, special in _SPECIAL.items():
        if need.code in needs:
            await _make_special(target, setup, need, special)


def _versions(facts: Facts, needs: Set[str]) -> Sequence[str]:
    """The versions of public rooms that are missing."""
    versions = [each for each in ROOM_VERSIONS if room(each).code in needs]
    if ALIAS.code in needs and not versions and facts.alias is None:
        versions = [ROOM_VERSIONS[0]]
    return [each for each in versions if each not in facts.rooms]


async def _make_special(
    target: Target, setup: Maker, need: Need, special: _Special
) -> None:
    facts = target.facts
    public_room = facts.rooms.get(SPECIAL_VERSION)
    if special.has_known_condition and public_room is None:
        facts.unmet[need.code] = f"there is no public room of version {SPECIAL_VERSION}"
        return
    guests = [target.server() for _ in range(special.guests)]
    hosts = [each.name.host for each in guests]
    if special.is_acl and target.name.host in hosts:
        why = "names of ours and the target's differ in their ports, which no ACL sees"
        facts.unmet[need.code] = why
        return
    # The last one is denied by its name in capitals.
    denied = [*hosts[:-1], *(each.upper() for each in hosts[-1:])]
    users = [f"@user:{each.name}" for each in guests]
    details: Json = {
        "version": SPECIAL_VERSION,
        "state": special.state(public_room, denied),
    }
    details |= special.about(users)
    facts.guests[kind_of(need)] = guests
    await _make_room(target, setup, need, details)
    if special.is_invite and kind_of(need) in facts.rooms:
        for each in guests:
            target.ground.members.note(each, facts.rooms[kind_of(need)])


async def _make_room(target: Target, setup: Maker, need: Need, details: Json) -> None:
    facts = target.facts
    made = await _made(target, setup, need, "room", **details)
    if isinstance(made.get("room_id"), str):
        facts.rooms[kind_of(need)] = str(made["room_id"])
        if facts.alias is None and isinstance(made.get("alias"), str):
            facts.alias = str(made["alias"])


async def _made(
    target: Target, setup: Maker, need: Need, what: str, **details: object
) -> Json:
    """What set-up made; empty where it could not, which is noted as the reason."""
    try:
        return await setup.make(what, **details)
    except SetupFailed as problem:
        target.facts.unmet[need.code] = f"--setup: {problem}"
        target.facts.advice.append(f"--setup: {problem}")
        return {}


async def _find_rooms(target: Target, rooms: Sequence[str]) -> None:
    """Find out the versions of the rooms that were named."""
    for each in rooms:
        try:
            await _find_room(target, each)
        except NotTestable as problem:
            target.facts.advice.append(f"--room {each}: {problem}")


async def _find_room(target: Target, named: str) -> None:
    """The same for one of them; raises `NotTestable`."""
    facts, ours, room_id = target.facts, target.server(), named
    if named.startswith("#"):
        facts.alias = named
        reply = await target.request(
            ours,
            "GET",
            path("query/directory"),
            query=f"room_alias={quoted(named)}",
        )
        room_id = str(reply.json.get("room_id", ""))
    reply = await make(target, ours, "join", room_id)
    version = reply.json.get("room_version")
    if not reply.is_ok or not isinstance(version, str):
        raise NotTestable("the target refuses our join")
    facts.rooms[version] = room_id

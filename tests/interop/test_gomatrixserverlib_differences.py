"""Each known difference to gomatrixserverlib's rules, shown by a room."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.state import state_of
from tests.interop.gomatrixserverlib_differences import RULES, known
from tests.interop.gomatrixserverlib_rooms import SWITCHES, Judgement, judge
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom
from tests.protocol.rooms.random_events import IDENTITY_KEY, signed_invite
from tests.support.json_lines import JsonLines

Shown = tuple[MadeRoom, Event, list[Event]]
"""A room, an event of it, and the state to judge it by."""


def _levels(room: MadeRoom, content: Json, *cites: Event) -> Event:
    return room.send("m.room.power_levels", ALICE, content, cites=cites or [room.join])


def _rules(room: MadeRoom, rule: str, **more: object) -> Event:
    content: Json = {"join_rule": rule, **more}
    return room.send("m.room.join_rules", ALICE, content, cites=[room.join])


def _joins(version: str, rule: str, before: str, **more: object) -> Shown:
    """Bob, who is invited or knocks, joins by a join rule."""
    room = MadeRoom(version)
    rules = _rules(room, rule, **more)
    state = [room.create, room.join, rules]
    state.append(room.member(BOB, before, cites=state))
    return room, room.member(BOB, "join", cites=[]), state


def _aliases() -> Shown:
    room = MadeRoom("6")
    event = room.send("m.room.aliases", BOB, {}, "b.example", cites=[])
    return room, event, [room.create, room.join]


def _early_join_rule() -> Shown:
    room = MadeRoom("9")
    rules = _rules(room, "knock_restricted")
    return room, room.member(BOB, "knock", cites=[]), [room.create, room.join, rules]


def _second_leave() -> Shown:
    room = MadeRoom("10")
    return room, room.member(BOB, "leave", cites=[]), [room.create, room.join]


def _unban() -> Shown:
    room = MadeRoom("10")
    levels = _levels(room, {"users": {ALICE: 50, BOB: 50}})
    banned = room.member(BOB, "ban", sender=ALICE, cites=[])
    unban = room.member(BOB, "leave", sender=ALICE, cites=[])
    return room, unban, [room.create, room.join, levels, banned]


def _third_party(
    *, sender: str = ALICE, before: str = "leave", key: str = "public_keys"
) -> Shown:
    """Bob is invited by a token that Alice sent."""
    room = MadeRoom("10")
    keys: Json = {"public_key": encode_base64(bytes(IDENTITY_KEY.verify_key))}
    content: Json = keys if key == "public_key" else {"public_keys": [keys]}
    token = room.send("m.room.third_party_invite", ALICE, content, "token", cites=[])
    before_it = room.member(BOB, before, sender=ALICE, cites=[])
    invite: Json = {
        "membership": "invite",
        "third_party_invite": signed_invite(BOB, "token"),
    }
    event = room.send("m.room.member", sender, invite, BOB, cites=[])
    return room, event, [room.create, room.join, token, before_it]


def _join_with_token() -> Shown:
    room = MadeRoom("10")
    rules = _rules(room, "public")
    content: Json = {"membership": "join"}
    content["third_party_invite"] = signed_invite(BOB, "token")
    event = room.send("m.room.member", BOB, content, BOB, cites=[])
    return room, event, [room.create, room.join, rules]


def _token_with_at() -> Shown:
    room = MadeRoom("10")
    event = room.send("m.room.third_party_invite", ALICE, {}, "@token", cites=[])
    return room, event, [room.create, room.join]


def _first_join() -> Shown:
    room = MadeRoom("10")
    content: Json = {"membership": "join"}
    event = room.send(
        "m.room.member", BOB, content, ALICE, cites=[], after=[room.create]
    )
    return room, event, [room.create]


def _changes(version: str, old: Json, new: Json) -> Shown:
    """Alice changes the power levels."""
    room = MadeRoom(version)
    first = _levels(room, {"users": {ALICE: 100}, **old})
    event = _levels(room, {"users": {ALICE: 100}, **new}, room.join, first)
    return room, event, [room.create, room.join, first]


def _unread_levels() -> Shown:
    room = MadeRoom("5")
    levels = _levels(room, {"users": {ALICE: 0}, "notifications": {"room": []}})
    event = room.send("m.room.topic", ALICE, {}, cites=[room.join, levels])
    return room, event, [room.create, room.join, levels]


def _absent_entry() -> Shown:
    room = MadeRoom("10")
    old: Json = {"users": {ALICE: 100}, "users_default": 100}
    first = _levels(room, old)
    new: Json = {"users": {ALICE: 100, BOB: 50}, "users_default": 100}
    event = _levels(room, new, room.join, first)
    return room, event, [room.create, room.join, first]


# The name of a row of the rules: a room that shows the difference.
_SHOWN: dict[str, Callable[[], Shown]] = {
    "aliases of all versions are free": _aliases,
    "any join rule admits the invited": lambda: _joins("10", "private", "invite"),
    "knock_restricted is known early": _early_join_rule,
    "a user who left may leave": _second_leave,
    "unbanning needs no power over the target": _unban,
    "the key beside public_keys is not used": lambda: _third_party(key="public_key"),
    "tokens with @ belong to users": _token_with_at,
    "third-party invites are not the sender's own": lambda: _third_party(sender=BOB),
    "every membership may rest on a token": _join_with_token,
    "third-party invites reach the banned": lambda: _third_party(before="ban"),
    "a knocking user may not join a public room": lambda: _joins(
        "10", "public", "knock"
    ),
    "the first join is the sender's own": _first_join,
    "notifications below one's power": lambda: _changes(
        "10", {"notifications": {"room": 100}}, {"notifications": {"room": 50}}
    ),
    "users_default above one's power": lambda: _changes(
        "10", {}, {"users_default": 101}
    ),
    "contents are read whole": lambda: _joins("10", "public", "leave", allow={}),
    "levels are read all at once": _unread_levels,
    "absent levels have their defaults": _absent_entry,
}


def _judged(dendrite: JsonLines, shown: Shown) -> Judgement:
    room, event, state = shown
    numbers = {each: number for number, each in enumerate(room.events)}
    answer = dendrite.ask(
        {
            "do": "room",
            "room_version": room.version.version,
            "ids": list(room.events),
            "pdus": [each.pdu for each in room.events.values()],
            "rejected": [],
            "states": [[numbers[each.event_id] for each in state]],
            "checks": [[numbers[event.event_id], 0]],
            "merges": [],
        }
    )
    return judge(event, state_of(state), SWITCHES, answer["verdicts"][0])


@pytest.mark.parametrize("row", RULES, ids=lambda row: row.name)
def test_known_differences(dendrite: JsonLines, row: Any) -> None:
    """Each still is one; one that gomatrixserverlib has mended leaves the table."""
    judgement = _judged(dendrite, _SHOWN[row.name]())
    assert judgement.differs, judgement
    assert known(RULES, judgement) is row, judgement

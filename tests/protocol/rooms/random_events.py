"""Events of random content, most of which some user may send in a room.

What is drawn depends on the room's state, so that much of what is sent is allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from nacl.signing import SigningKey

from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.state import StateMap, membership

_ROOM = "!room:a.example"
_LEVELS = [0, 0, 10, 49, 50, 50, 51, 75, 99, 100, 100, 101, -1]
_SCALARS = ["ban", "kick", "redact", "invite"]
_SCALARS += ["users_default", "events_default", "state_default"]
_TYPES = ["m.room.name", "m.room.topic", "m.room.message", "m.room.power_levels"]
_TYPES += ["m.room.join_rules", "m.room.third_party_invite", "m.room.redaction"]
_RULES = ["public", "public", "invite", "knock", "restricted", "knock_restricted"]
_RULES += ["private", "unheard of"]
_STATE_KEYS = [None, "", "x", "@x", "@u0:a.example", "a.example"]
_ODDITIES: list[object] = [None, "", "x", "y", " 50", "+7\t", "-0", "0x1", [], ["x"]]
_ODDITIES += [{}, {"x": 1}, {"@x:y": "z"}, -5, 2**53 - 1, "join", "@u0:a.example"]
_FLOATS = [1.5, -0.5, 99.99, 1e15]
IDENTITY_KEY = SigningKey(b"the identity server's signing key"[:32])


def signed_invite(target: str, token: str, key: SigningKey = IDENTITY_KEY) -> Json:
    """What an invite says that rests on an event of `m.room.third_party_invite`."""
    signed: Json = {"mxid": target, "token": token}
    signature = encode_base64(key.sign(encode(signed)).signature)
    signed["signatures"] = {"id.example": {"ed25519:0": signature}}
    return {"display_name": "x", "signed": signed}


@dataclass
class Draft:
    """An event that is about to be made."""

    type: str
    sender: str
    content: Json
    state_key: str | None = None
    more: Json = field(default_factory=dict)


class Drafts:
    """What the users of a room may come to send."""

    def __init__(self, random: Random, version: RoomVersion, users: list[str]) -> None:
        self.random = random
        self.version = version
        self.users = users
        self.creator = users[0]
        self._events: Sequence[EventId] = ()

    def draw(self, state: StateMap, events: Sequence[EventId]) -> Draft:
        """The next event, in a room of this state and these events."""
        self._events = events
        joined = [u for u in self.users if membership(state, u) == "join"]
        sender = self.random.choice(self.users)
        if joined and self._chance(0.9):
            sender = self.random.choice(joined)
        if self._chance(0.25):
            sender = self.creator
        return self._draft(sender, state)

    def _draft(self, sender: str, state: StateMap) -> Draft:
        kind = self.random.choices(
            [
                self._message,
                self._topic,
                self.power_levels,
                self.join_rules,
                self._join,
                self._membership,
                self._invite,
                self._third_party_invite,
                self._odd,
            ],
            [4, 12, 12, 5, 18, 18, 6, 2, 3],
        )[0]
        draft = kind(sender, state)
        if self._chance(0.08):
            self._break(draft)
        return draft

    def _break(self, draft: Draft) -> None:
        """Put something else into one place of an event."""
        if self._chance(0.1):
            draft.state_key = self.random.choice(_STATE_KEYS)
            return
        content = draft.content
        # Who authorised a join is checked with the signatures, which there are none of.
        names = sorted(content.keys() - {"join_authorised_via_users_server"})
        name = self.random.choice(names or ["x"])
        inner = content.get(name)
        if isinstance(inner, dict) and inner and self._chance(0.7):
            content[name] = content = dict(inner)
            name = self.random.choice(sorted(content))
        if self._chance(0.2):
            content.pop(name, None)
            return
        oddities = _ODDITIES if self.version.is_strict else [*_ODDITIES, *_FLOATS]
        if draft.type == "m.room.power_levels":
            # Synapse takes what is empty for an object of levels, up to version 9.
            oddities = [each for each in oddities if each not in ("", [])]
        content[name] = self.random.choice(oddities)

    def _message(self, sender: str, state: StateMap) -> Draft:
        return Draft("m.room.message", sender, {"body": str(len(self._events))})

    def _topic(self, sender: str, state: StateMap) -> Draft:
        kind, key = self.random.choice(
            [
                ("m.room.topic", ""),
                ("m.room.name", ""),
                ("m.test", sender),
                ("m.test", self.random.choice(self.users)),
            ]
        )
        return Draft(kind, sender, {"n": len(self._events)}, key)

    def power_levels(self, sender: str, state: StateMap) -> Draft:
        """A change of power levels."""
        old = state.get(("m.room.power_levels", ""))
        first = self.users[1 if self.version.has_hash_room_id else 0]
        content: Json = dict(old.content) if old else {"users": {first: 100}}
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            self._change_levels(content)
        return Draft("m.room.power_levels", sender, content, "")

    def _change_levels(self, content: Json) -> None:
        where = self.random.choice(["users", "users", "users", "events", "scalar"])
        if where == "scalar":
            self._set(content, self.random.choice(_SCALARS))
            return
        if where == "events" and self._chance(0.2):
            where = "notifications"
        old = content.get(where)
        changed = dict(old) if isinstance(old, dict) else {}
        names = self.users if where == "users" else _TYPES
        self._set(changed, self.random.choice(names))
        content[where] = changed

    def _set(self, levels: Json, name: str) -> None:
        if self._chance(0.1):
            levels.pop(name, None)
            return
        level: object = self.random.choice(_LEVELS)
        if self._chance(0.04):
            level = str(level)
        levels[name] = level

    def join_rules(self, sender: str, state: StateMap) -> Draft:
        """A change of join rules."""
        rule = self.random.choice(_RULES)
        content: Json = {"join_rule": rule}
        if self._chance(0.5):
            content["allow"] = [{"type": "m.room_membership", "room_id": _ROOM}]
        return Draft("m.room.join_rules", sender, content, "")

    def _join(self, sender: str, state: StateMap) -> Draft:
        user = self.random.choice(self.users)
        content: Json = {"membership": "join", "n": len(self._events)}
        if self._chance(0.4):
            content["join_authorised_via_users_server"] = self.random.choice(self.users)
        return Draft("m.room.member", user, content, user)

    def _membership(self, sender: str, state: StateMap) -> Draft:
        what = ["leave", "leave", "ban", "ban", "invite", "knock", "join"]
        content = {"membership": self.random.choice(what), "n": len(self._events)}
        target = self.random.choice([*self.users, sender])
        if content["membership"] == "knock" and self._chance(0.7):
            sender = target
        return Draft("m.room.member", sender, content, target)

    def _invite(self, sender: str, state: StateMap) -> Draft:
        """An invite, at times by a third party."""
        content: Json = {"membership": "invite", "n": len(self._events)}
        target = self.random.choice(self.users)
        kind = "m.room.third_party_invite"
        tokens = sorted(key for each, key in state if each == kind)
        if tokens and self._chance(0.7):
            token = self.random.choice(tokens)
            sender = state["m.room.third_party_invite", token].sender.user_id
            key = IDENTITY_KEY if self._chance(0.8) else SigningKey(b"x" * 32)
            content["third_party_invite"] = signed_invite(target, token, key)
        return Draft("m.room.member", sender, content, target)

    def _third_party_invite(self, sender: str, state: StateMap) -> Draft:
        key = encode_base64(bytes(IDENTITY_KEY.verify_key))
        content: Json = {"display_name": "x", "key_validity_url": "https://id.example"}
        content["public_key"] = key
        if self._chance(0.5):
            content["public_keys"] = [{"public_key": key}]
        return Draft(
            "m.room.third_party_invite", sender, content, f"t{len(self._events)}"
        )

    def _odd(self, sender: str, state: StateMap) -> Draft:
        """What is seldom sent."""
        target = self.random.choice(self._events)
        host = self.random.choice(self.users).partition(":")[2]
        more: Json = {"redacts": target}
        content: Json = {}
        if self.version.redacts_in_content:
            more, content = {}, {"redacts": target}
        drafts = [
            Draft("m.room.redaction", sender, content, None, more),
            Draft("m.room.aliases", sender, {"aliases": []}, host),
            Draft("m.room.power_levels", sender, {"users": {}}, "other"),
            Draft("m.room.join_rules", sender, {"join_rule": "public"}, "other"),
        ]
        if not self.version.has_hash_room_id:  # there it would begin another room
            drafts.append(Draft("m.room.create", sender, {"creator": sender}, ""))
        return self.random.choice(drafts)

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability

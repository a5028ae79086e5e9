"""Events that the rules of a room decide on, each made for a room."""

from collections.abc import Callable

import nacl.signing

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey, sign
from tests.protocol.rooms.room import ALICE, DAN, OLIVE, Room

Make = Callable[[Room], Event]

ABSENT = object()

KEY = SigningKey(KeyId("ed25519:0"), nacl.signing.SigningKey(b'"' * 32))
PUBLIC = encode_base64(KEY.verify_key.key)


def topic(sender: str) -> Make:
    """A topic."""
    return lambda room: room.make("m.room.topic", sender, {}, "")


def message(sender: str) -> Make:
    """A message."""
    return lambda room: room.make("m.room.message", sender, {})


def aliases(sender: str, key: str | None) -> Make:
    """The aliases of a server."""
    return lambda room: room.make("m.room.aliases", sender, {}, key)


def member(sender: str, target: str, membership: str, **content: object) -> Make:
    """A member event."""
    return lambda room: room.membership(sender, target, membership, **content)


def join(user: str, rule: object, **content: object) -> Make:
    """A join to a room with a join rule."""
    return lambda room: room.join_rule(rule).membership(user, user, "join", **content)


def by_mail(
    target: str = OLIVE,
    *,
    key: SigningKey = KEY,
    keys: Json | None = None,
    sender: str = DAN,
    **signed: object,
) -> Make:
    """An invite by a third party, of which the state has keys or has not."""
    names = {"mxid": OLIVE, "token": "t"} | signed
    known = {k: v for k, v in names.items() if v is not None}
    invite = {"signed": sign(known, ServerName.parse("id.example"), [key])}
    content: Json = {"public_key": PUBLIC} if keys is None else keys

    def make(room: Room) -> Event:
        room.set("m.room.third_party_invite", DAN, content, "t")
        return room.membership(sender, target, "invite", third_party_invite=invite)

    return make


def levels(sender: str, old: Json | None = None, **new: object) -> Make:
    """Power levels, over those that held before."""
    return lambda room: room.levels(**old or {}).new_levels(sender, **new)


def redaction(sender: str, redacts: object) -> Make:
    """A redaction."""
    return lambda room: room.make("m.room.redaction", sender, {}, redacts=redacts)


def create(content: Json | None = None, **members: object) -> Make:
    """A create event, of which some members are other ones."""

    def make(room: Room) -> Event:
        whole = {"creator": ALICE, "room_version": room.version.version}
        merged = {k: v for k, v in {**whole, **(content or {})}.items() if v != ABSENT}
        return room.make("m.room.create", ALICE, merged, "", auth=[], **members)

    return make


def foreign(federates: object, sender: str) -> Make:
    """A message in a room that is of its own server alone, or is not."""

    def make(room: Room) -> Event:
        version = room.version.version
        room.__init__(version, **{"m.federate": federates})  # type: ignore[misc]
        return room.make("m.room.message", sender, {})

    return make

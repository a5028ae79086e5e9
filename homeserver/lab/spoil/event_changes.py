"""The changes that make an event of a room wrong.

Rules: as in `changes`. A cited event that does not exist has an ID that no other one
has.
"""

from collections.abc import Callable

from msgspec import Struct

from homeserver.identity.identity import Identity
from homeserver.lab.spoil.changes import OTHER_SERVER
from homeserver.protocol.canonical_json import Json, as_list, as_object, encode_base64
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.event import redact
from homeserver.protocol.events.room_versions import IdFormat, RoomVersion
from homeserver.protocol.rooms.auth_events import auth_keys
from homeserver.protocol.rooms.building import reference
from homeserver.protocol.rooms.policy import POLICY
from homeserver.protocol.rooms.state import CREATE, StateMap
from homeserver.protocol.signing import POLICY_KEY_ID, SigningKey, sign

_MAX_CITED = 1000  # of a list that is made longer; 20 and 10 are allowed


class Workpiece(Struct):
    """An event that is made wrong."""

    pdu: Json
    room_version: RoomVersion
    state: StateMap
    """The current state of the room."""

    identity: Identity
    other_key: SigningKey
    """A key that nothing publishes."""

    def references(self, name: str) -> list[object]:
        """The cited events of a member."""
        return [*as_list(self.pdu.get(name, []), f"`{name}`")]

    def unknown(self, number: int) -> object:
        """How an event cites one that does not exist."""
        if self.room_version.id_format is IdFormat.SENT:
            event_id = f"$spoiled{number}:{self.identity.server_name}"
            return [event_id, {"sha256": encode_base64(bytes(32))}]
        return f"${number:043}"


Change = Callable[[Workpiece, str], None]


def set_content(member: object) -> Change:
    """Have this in the content."""

    def change(piece: Workpiece, _: str) -> None:
        content = as_object(piece.pdu.get("content", {}), "`content`")
        piece.pdu["content"] = {**content, "spoiled": member}

    return change


def cite_many(name: str) -> Change:
    """Cite so many events: those of the state, and then some that do not exist."""

    def change(piece: Workpiece, text: str) -> None:
        if not (text.isascii() and text.isdigit() and int(text[:9]) <= _MAX_CITED):
            raise InvalidParam(f"`spoil`: `{name}` has a number up to {_MAX_CITED}")
        cited = piece.references(name)
        for _, event in sorted(piece.state.items()):
            if len(cited) < int(text) and reference(event) not in cited:
                cited.append(reference(event))
        more = [piece.unknown(each) for each in range(int(text) - len(cited))]
        piece.pdu[name] = [*cited, *more]

    return change


def cite_unknown(name: str) -> Change:
    """Cite one event more, which does not exist."""

    def change(piece: Workpiece, _: str) -> None:
        piece.pdu[name] = [*piece.references(name), piece.unknown(0)]

    return change


def cite_twice(piece: Workpiece, _: str) -> None:
    """Cite the first auth event once more."""
    found = piece.references("auth_events")
    piece.pdu["auth_events"] = [*found, *found[:1]]


def cite_foreign(piece: Workpiece, _: str) -> None:
    """Cite an event of the state that the rules do not select."""
    pdu = piece.pdu
    key = pdu.get("state_key")
    content = as_object(pdu.get("content", {}), "`content`")
    selected = auth_keys(
        str(pdu.get("type")),
        str(pdu.get("sender")),
        key if isinstance(key, str) else None,
        content,
        piece.room_version,
    )
    others = [
        event
        for each, event in sorted(piece.state.items())
        if each not in selected and each != CREATE
    ]
    if not others:
        raise InvalidParam("`spoil`: the room has no event for `foreign-auth`")
    piece.pdu["auth_events"] = [*piece.references("auth_events"), reference(others[0])]


def cite_create(piece: Workpiece, _: str) -> None:
    """Leave the create event out, or cite it where that is wrong."""
    if CREATE not in piece.state:
        raise InvalidParam("`spoil`: `create-auth` needs a room of the server")
    create = reference(piece.state[CREATE])
    found = piece.references("auth_events")
    if create in found:
        piece.pdu["auth_events"] = [each for each in found if each != create]
    else:
        piece.pdu["auth_events"] = [*found, create]


def name_other_room(piece: Workpiece, _: str) -> None:
    """Be of a room that does not exist."""
    opaque = "0" * 43  # in version 12, of no create event
    is_hash = piece.room_version.has_hash_room_id
    piece.pdu["room_id"] = f"!{opaque}" if is_hash else f"!spoiled:{OTHER_SERVER}"


def set_member(member: str, value: object) -> Change:
    """Have a member with this value."""

    def change(piece: Workpiece, _: str) -> None:
        piece.pdu[member] = value

    return change


def name_other_id(piece: Workpiece, _: str) -> None:
    """Have an ID of another server."""
    if piece.room_version.id_format is not IdFormat.SENT:
        raise InvalidParam("`spoil`: `event-id` needs a room of version 1 or 2")
    piece.pdu["event_id"] = f"$spoiled:{OTHER_SERVER}"


def flip_signature(piece: Workpiece, _: str) -> None:
    """Write another first character into each of our signatures."""
    name = piece.identity.server_name.name
    signatures = as_object(piece.pdu["signatures"], "`signatures`")
    own = as_object(signatures[name], "`signatures` of one server")
    flipped = {
        key_id: ("B" if str(text).startswith("A") else "A") + str(text)[1:]
        for key_id, text in own.items()
    }
    piece.pdu["signatures"] = {**signatures, name: flipped}


def sign_other(piece: Workpiece, _: str) -> None:
    """Sign with a key that nothing publishes, alone."""
    signed = sign(
        redact({**piece.pdu, "signatures": {}}, piece.room_version),
        piece.identity.server_name,
        [piece.other_key],
    )
    piece.pdu["signatures"] = signed["signatures"]


def sign_hash(piece: Workpiece, _: str) -> None:
    """Sign a content hash that is not its own."""
    hashed = {
        **piece.pdu,
        "hashes": {"sha256": encode_base64(bytes(32))},
        "signatures": {},
    }
    identity = piece.identity
    signed = sign(
        redact(hashed, piece.room_version),
        identity.server_name,
        identity.signing_keys,
    )
    piece.pdu = {**hashed, "signatures": signed["signatures"]}


def sign_policy(piece: Workpiece, _: str) -> None:
    """Have a wrong signature of the room's policy server."""
    policy = piece.state.get(POLICY)
    via = None if policy is None else policy.content.get("via")
    if not isinstance(via, str):
        raise InvalidParam(
            "`spoil`: `policy-signature` needs a room with m.room.policy"
        )
    signatures = as_object(piece.pdu["signatures"], "`signatures`")
    of_via = as_object(signatures.get(via, {}), "`signatures` of one server")
    text = encode_base64(bytes(64))
    piece.pdu["signatures"] = {**signatures, via: {**of_via, POLICY_KEY_ID: text}}

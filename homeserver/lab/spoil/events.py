"""The mistakes that an event of a room can have on purpose.

Rules: a mistake is of one kind: `before` changes what is hashed and signed, `after`
what is sent. The rest of the event stays right, so a server that refuses it has found
this mistake.

Specification: Server-server API, "PDUs", "Checks performed on receipt of a PDU"; Room
Versions.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from homeserver.lab.spoil import event_changes as changes
from homeserver.lab.spoil import level_changes as levels
from homeserver.lab.spoil.event_changes import Change, Workpiece
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.events.event import MAX_EVENT_BYTES, hash_and_sign
from homeserver.protocol.shapes import not_one_of

_STATE_KEY_BYTES = 256  # one more than is allowed
_BIG = 2**60

_DROPPED = "A right server drops the event: "
_REJECTED = "A right server rejects the event: "


class EventSpoil(Struct, frozen=True):
    """One kind of mistake."""

    summary: str
    right: str
    """A sentence about what a right server does."""

    before: Change | None = None
    after: Change | None = None
    argument: str | None = None
    """What the text after the colon is; None for a mistake without one."""

    def usage(self, name: str) -> str:
        """How requests write it."""
        return name if self.argument is None else f"{name}:{self.argument.upper()}"


_UNSIGNED = f"{_DROPPED}the sender's server did not sign it."
_REDACTED = "A right server takes the event in redacted, under the same ID."

EVENT_SPOILS: Mapping[str, EventSpoil] = {
    "signature": EventSpoil(
        "The signature has another first character.",
        _UNSIGNED,
        after=changes.flip_signature,
    ),
    "no-signature": EventSpoil(
        "There is no signature.", _UNSIGNED, after=changes.set_member("signatures", {})
    ),
    "other-key": EventSpoil(
        "It is signed with a key that no key document has.",
        _UNSIGNED,
        after=changes.sign_other,
    ),
    "content": EventSpoil(
        "The content was changed after it was hashed.",
        _REDACTED,
        after=changes.set_content("changed"),
    ),
    "hash": EventSpoil(
        "It is signed with a content hash that is not its own.",
        _REDACTED,
        after=changes.sign_hash,
    ),
    "event-id": EventSpoil(
        "Its ID, in versions 1 and 2, is one of a server that did not sign it.",
        f"{_DROPPED}the server of the ID has to sign it.",
        before=changes.name_other_id,
    ),
    "prev-events": EventSpoil(
        "It comes after this number of events; only those of the state exist.",
        f"{_DROPPED}20 are allowed.",
        before=changes.cite_many("prev_events"),
        argument="number",
    ),
    "auth-events": EventSpoil(
        "It cites this number of auth events; only those of the state exist.",
        f"{_DROPPED}10 are allowed.",
        before=changes.cite_many("auth_events"),
        argument="number",
    ),
    "size": EventSpoil(
        "It has more than 65,536 bytes.",
        f"{_DROPPED}that is the limit.",
        before=changes.set_content("x" * MAX_EVENT_BYTES),
    ),
    "state-key": EventSpoil(
        "Its state key has 256 bytes.",
        f"{_DROPPED}255 are allowed.",
        before=changes.set_member("state_key", "s" * _STATE_KEY_BYTES),
    ),
    "float": EventSpoil(
        "The content has a number with a fraction.",
        f"{_DROPPED}canonical JSON has none since version 6.",
        before=changes.set_content(1.5),
    ),
    "big-integer": EventSpoil(
        "The content has the integer 2^60.",
        f"{_DROPPED}canonical JSON has none since version 6.",
        before=changes.set_content(_BIG),
    ),
    "duplicate-auth": EventSpoil(
        "It cites an auth event twice.",
        f"{_REJECTED}one of each type and state key is allowed.",
        before=changes.cite_twice,
    ),
    "foreign-auth": EventSpoil(
        "It cites an event of the state that authorises nothing.",
        f"{_REJECTED}the auth events are selected by the rules.",
        before=changes.cite_foreign,
    ),
    "create-auth": EventSpoil(
        "It does not cite the create event; in version 12, it does.",
        f"{_REJECTED}it is cited up to version 11, and in no later one.",
        before=changes.cite_create,
    ),
    "unknown-auth": EventSpoil(
        "It cites an auth event that does not exist.",
        "A right server asks for it a bounded number of times, and takes nothing in.",
        before=changes.cite_unknown("auth_events"),
    ),
    "unknown-prev": EventSpoil(
        "It comes after an event that does not exist as well.",
        "A right server asks for it a bounded number of times, and then for the state.",
        before=changes.cite_unknown("prev_events"),
    ),
    "other-room": EventSpoil(
        "It is of another room, which nothing knows.",
        "A right server takes nothing in: it is in no such room.",
        before=changes.name_other_room,
    ),
    "raised-levels": EventSpoil(
        "It sets power levels that give the sender more power than the sender has.",
        f"{_REJECTED}a user grants at most its own power.",
        before=levels.raise_sender,
    ),
    "demoted-equal": EventSpoil(
        "It sets power levels that take power from a user who has as much as the "
        "sender.",
        f"{_REJECTED}a user takes power only from users who have less.",
        before=levels.demote_equal,
    ),
    "text-levels": EventSpoil(
        "It sets power levels, one of which is a string.",
        f"{_REJECTED}since version 10, a level is a number. Before, the string is "
        "read.",
        before=levels.write_text,
    ),
    "creator-levels": EventSpoil(
        "It sets power levels that name the room's creator.",
        f"{_REJECTED}in version 12, a creator has all power. Before, the event is "
        "right.",
        before=levels.name_creator,
    ),
    "policy-signature": EventSpoil(
        "The signature of the room's policy server is wrong.",
        "A right server asks the policy server once, and soft-fails the event.",
        after=changes.sign_policy,
    ),
}
"""By the names that requests use."""


def spoil_event(piece: Workpiece, texts: Sequence[str]) -> list[str]:
    """Hash and sign an event with these mistakes.

    Returns what a right server does about each. Raises `InvalidParam` for an unknown
    mistake, or one that this event cannot have.
    """
    told = [_parse(text) for text in texts]
    for each, argument in told:
        if each.before is not None:
            each.before(piece, argument)
    identity = piece.identity
    piece.pdu = hash_and_sign(
        piece.pdu, piece.room_version, identity.server_name, identity.signing_keys
    )
    for each, argument in told:
        if each.after is not None:
            each.after(piece, argument)
    return [each.right for each, _ in told]


def _parse(text: str) -> tuple[EventSpoil, str]:
    name, colon, argument = text.partition(":")
    found = EVENT_SPOILS.get(name)
    if found is None:
        raise InvalidParam("`spoil` has " + not_one_of(name, EVENT_SPOILS))
    if (found.argument is None) == bool(colon):
        raise InvalidParam(f"`spoil`: it is {found.usage(name)}, not {quote(text)}")
    return found, argument

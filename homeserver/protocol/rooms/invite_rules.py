"""The rules on invites, those by a third party included.

Rules: one function for each rule of the text, in its order. The signature in a
third-party invite is verified here, because the state of the room has its keys.

Specification: Room Versions, "Authorisation rules", "If `membership` is `invite`".
"""

from collections.abc import Iterator
from itertools import islice, product

from homeserver.protocol.canonical_json import Json, decode_base64
from homeserver.protocol.errors import BadJson, quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.rooms.auth_events import invite_token
from homeserver.protocol.rooms.rules import (
    Allow,
    Answer,
    Case,
    Group,
    Refuse,
    Rule,
    named,
)
from homeserver.protocol.rooms.sender_rules import lacks_power, sender_is_in_the_room
from homeserver.protocol.signing import VerifyKey, signed_bytes

_MAX_CHECKS = 1000  # pairs of key and signature; one or two in an invite of a person

_URL_SAFE = str.maketrans("-_", "+/")


def invite_rules() -> tuple[Rule, ...]:
    """The rule "If `membership` is `invite`"."""
    return (
        Group(_is_by_third_party, _THIRD_PARTY),
        sender_is_in_the_room,
        target_is_outside,
        may_invite,
        has_too_little_power,
    )


def _is_by_third_party(case: Case) -> bool:
    return "third_party_invite" in case.content


def target_is_not_banned(case: Case) -> Answer:
    """If the target is banned, reject."""
    if case.membership(case.target) == "ban":
        return Refuse(f"{named(case.target)} is banned")
    return None


def has_signed(case: Case) -> Answer:
    """If there is no `signed`, reject."""
    invite = case.content["third_party_invite"]
    if not isinstance(invite, dict) or not isinstance(invite.get("signed"), dict):
        return Refuse("`third_party_invite` has no object `signed`")
    return None


def signed_has_mxid_and_token(case: Case) -> Answer:
    """If `signed` has no `mxid` and `token`, reject."""
    if "mxid" not in _signed(case) or invite_token(case.content) is None:
        return Refuse("`signed` of `third_party_invite` has no `mxid` and `token`")
    return None


def mxid_is_the_target(case: Case) -> Answer:
    """If `mxid` does not match the state key, reject."""
    mxid = _signed(case)["mxid"]
    if mxid != case.target:
        return Refuse(f"{quote(mxid)} was invited, not {named(case.target)}")
    return None


def token_is_in_the_state(case: Case) -> Answer:
    """If no third-party invite of the state has the token, reject."""
    if _third_party(case) is None:
        return Refuse("the state has no m.room.third_party_invite of that token")
    return None


def sender_made_the_invite(case: Case) -> Answer:
    """If the sender is not the one of the third-party invite, reject."""
    event = _third_party(case)
    if event is None or event.sender != case.event.sender:
        return Refuse(
            f"{named(case.sender)} did not send the m.room.third_party_invite"
        )
    return None


def a_key_of_it_signed(case: Case) -> Answer:
    """If any signature is by any key of the third-party invite, allow."""
    event = _third_party(case)
    keys = () if event is None else _keys(event.content)
    message = signed_bytes(_signed(case))
    pairs = product(keys, _signatures(case))
    for key, signature in islice(pairs, _MAX_CHECKS):
        if key.verify(message, signature):
            return Allow("a key of the m.room.third_party_invite signed it")
    # Both events have room for so many that all pairs take half a minute.
    if next(pairs, None) is not None:
        return Refuse(
            f"none of the first {_MAX_CHECKS} pairs of a key of the "
            "m.room.third_party_invite and a signature of the invite verifies"
        )
    return None


_THIRD_PARTY: tuple[Rule, ...] = (
    target_is_not_banned,
    has_signed,
    signed_has_mxid_and_token,
    mxid_is_the_target,
    token_is_in_the_state,
    sender_made_the_invite,
    a_key_of_it_signed,
    Refuse("no key of the m.room.third_party_invite signed the invite"),
)


def target_is_outside(case: Case) -> Answer:
    """If the target is in the room or banned, reject."""
    membership = case.membership(case.target)
    if membership in {"join", "ban"}:
        return Refuse(
            f"{named(case.target)} cannot be invited: its membership is {membership}"
        )
    return None


def may_invite(case: Case) -> Answer:
    """With the invite level, allow."""
    if lacks_power(case, "invite", case.sender) is None:
        return Allow(f"{named(case.sender)} has the power to invite")
    return None


def has_too_little_power(case: Case) -> Answer:
    """Otherwise, reject."""
    return lacks_power(case, "invite", case.sender)


def _signed(case: Case) -> Json:
    """`signed` of the invite, once it is known to be there."""
    invite = case.content["third_party_invite"]
    signed = invite.get("signed") if isinstance(invite, dict) else None
    return signed if isinstance(signed, dict) else {}


def _third_party(case: Case) -> Event | None:
    token = invite_token(case.content)
    return case.state.get(("m.room.third_party_invite", token or ""))


def _keys(content: Json) -> Iterator[VerifyKey]:
    """The keys of a third-party invite, without malformed entries."""
    more = content.get("public_keys")
    entries = [content, *(more if isinstance(more, list) else [])]
    for entry in entries:
        text = entry.get("public_key") if isinstance(entry, dict) else None
        if isinstance(text, str):
            try:
                yield VerifyKey.parse(KeyId("ed25519:0"), text.translate(_URL_SAFE))
            except BadJson:
                continue


def _signatures(case: Case) -> Iterator[bytes]:
    """The ed25519 signatures of `signed`, of whatever server."""
    servers = _signed(case).get("signatures")
    for by_key in servers.values() if isinstance(servers, dict) else []:
        for key_id, text in by_key.items() if isinstance(by_key, dict) else []:
            if key_id.startswith("ed25519:") and isinstance(text, str):
                try:
                    yield decode_base64(text)
                except BadJson:
                    continue

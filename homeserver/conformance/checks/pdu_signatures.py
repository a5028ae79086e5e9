"""P: signatures and hashes of events in a room, and the keys that count for them.

Rules: each event is sound but for what its check is about.
"""

from msgspec.structs import replace
from nacl.signing import SigningKey as NaclSigningKey

from homeserver.conformance.check import Check, must
from homeserver.conformance.fates import (
    RECEIPT,
    STRICT,
    Fate,
    Row,
    accepted,
    dropped,
    fate_of,
    redacted,
    shared_room,
)
from homeserver.conformance.joined_room import JoinedRoom, Place
from homeserver.conformance.joining import join_room
from homeserver.conformance.membership_requests import bare, user_of
from homeserver.conformance.ours import Ours, old_entries
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import hash_and_sign
from homeserver.protocol.signing import SigningKey

_KEYS = "Server-server API, GET /_matrix/key/v2/server"
_VALIDITY = "Room version {}, Signing key validity period"

_DAY_MS = 24 * 3600 * 1000
_OLD_KEY = "ed25519:old"
_AGE_MS = 60_000  # since the old key expired


def signed_by(joined: JoinedRoom, pdu: Json, key: SigningKey) -> Json:
    """An event with the signature of another key alone."""
    return hash_and_sign(bare(pdu), joined.version, joined.ours.name, [key])


async def _by_another_key(joined: JoinedRoom, at: Place) -> Json:
    key = SigningKey(joined.ours.key.key_id, NaclSigningKey.generate())
    return signed_by(joined, await joined.message(at=at), key)


async def _unsigned(joined: JoinedRoom, at: Place) -> Json:
    return {**await joined.message(at=at), "signatures": {}}


async def _changed(joined: JoinedRoom, at: Place) -> Json:
    content = {"msgtype": "m.text", "body": "changed"}
    return {**await joined.message(at=at), "content": content}


async def _far_ahead(joined: JoinedRoom, at: Place) -> Json:
    # Servers count a key as valid for a week at most, whatever its document says.
    later = joined.ours.now_ts + 8 * _DAY_MS
    return await joined.message(at=at, origin_server_ts=later)


SIGNATURES: list[Check] = [
    *Row(
        id="P02",
        severity=must,
        section=RECEIPT,
        rule="An event that another key has signed is dropped.",
    ).judged(_by_another_key, dropped),
    *Row(
        id="P03",
        severity=must,
        section=RECEIPT,
        rule="An event without a signature is dropped.",
    ).judged(_unsigned, dropped),
    *Row(
        id="P04",
        severity=must,
        section=RECEIPT,
        rule="An event whose content was changed is redacted, and accepted.",
    ).judged(_changed, redacted),
    *Row(
        id="P37",
        severity=must,
        section=_KEYS,
        rule="An event from a time for which no key is valid yet is accepted.",
        versions=("1",),
    ).judged(_far_ahead, accepted),
    *Row(
        id="P37",
        severity=must,
        section=_VALIDITY,
        rule="An event from a time for which no key is valid yet is dropped.",
        versions=STRICT,
    ).judged(_far_ahead, dropped),
]


async def _of_another_server(t: Target, version: str) -> Outcome:
    stranger = t.server()
    async with shared_room(t, version) as joined:
        place = await joined.place()
        pdu = await joined.message(at=place, sender=user_of(stranger))
        return dropped(await fate_of(joined, pdu, place))


OF_ANOTHER_SERVER = Row(
    id="P05",
    severity=must,
    section=RECEIPT,
    rule="An event of another server's user needs the signature of that server.",
).checks(_of_another_server)


async def _relayed(t: Target, version: str) -> Outcome:
    third = t.server()
    async with shared_room(t, version) as joined:
        place = await joined.place()
        # It joins by this very event, so its key is not known before.
        member = replace(joined.member, ours=third)
        pdu = await JoinedRoom(t, member).build(
            "m.room.member", {"membership": "join"}, user_of(third), at=place
        )
        fate = await fate_of(joined, pdu, place)
        t.ground.members.note(third, joined.room_id)
        asked = t.seen(third).key_requests
        return expect(
            bool(accepted(fate).is_met and asked),
            fate,
            f"{len(asked)} requests for its key",
            wanted="an end of the room, verified with the key of its server",
        )


RELAYED = Row(
    id="P34",
    severity=must,
    section=RECEIPT,
    rule="An event that another server passes on is accepted.",
).checks(_relayed)


async def _of_an_old_key(t: Target, version: str, after_ms: int) -> Fate:
    """The fate of an event of so long after the key that signed it expired."""
    expired_ts = t.now_ts - _AGE_MS

    def document(ours: Ours) -> Json:
        old = ours.spare_key(_OLD_KEY)
        return ours.document(old_verify_keys=old_entries(expired_ts, old))

    ours = t.server(keys=document)
    joined = await join_room(t, t.facts.rooms[version], ours)
    async with joined.turn():
        place = await joined.place()
        pdu = await joined.message(at=place, origin_server_ts=expired_ts + after_ms)
        pdu = signed_by(joined, pdu, ours.spare_key(_OLD_KEY))
        return await fate_of(joined, pdu, place)


async def _before(t: Target, version: str) -> Outcome:
    return accepted(await _of_an_old_key(t, version, -1000))


async def _after(t: Target, version: str) -> Outcome:
    return dropped(await _of_an_old_key(t, version, 1000))


OLD_KEYS = [
    *Row(
        id="P38",
        severity=must,
        section=_KEYS,
        rule="An event from before the expiry of its old key is accepted.",
    ).checks(_before),
    *Row(
        id="P39",
        severity=must,
        section=_VALIDITY,
        rule="An event from after the expiry of its old key is dropped.",
        versions=STRICT,
    ).checks(_after),
]

"""Why an event is rejected or redacted: its format, its content hash, its signatures.

Rules: the event is judged as of one room version. Each search ends with the first
variant that explains the hash or the signature.

Specification: Server-server API, "Signing Events" and "Validating hashes and signatures
on received events".
"""

from collections.abc import Iterator, Mapping, Sequence

from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.diagnosis.base64_texts import base64_hints
from homeserver.protocol.diagnosis.candidate_keys import (
    CandidateKey,
    KeyTrial,
    key_trials,
)
from homeserver.protocol.diagnosis.content_hashes import diagnose_content_hash
from homeserver.protocol.diagnosis.event_variants import Variant, signed_variants
from homeserver.protocol.diagnosis.hint import Hint, clip
from homeserver.protocol.diagnosis.search import Work
from homeserver.protocol.errors import BadJson, ProtocolError, listed
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SIGNATURE_BYTES, event_signatures
from homeserver.protocol.slices import Steps

_MAX_SIGNATURES = 2  # of one server; most sign with one key
_MAX_KEYS = 4  # that each mistake is tried with

Keys = Mapping[ServerName, Sequence[CandidateKey]]
"""The keys of each server, usable or not."""


def diagnose_event(
    pdu: Json, room_version: RoomVersion, keys: Keys
) -> Steps[list[Hint]]:
    """What has to change for a PDU to be accepted in a room of this version.

    Empty if its format, its content hash and its signatures are right. Signatures of
    servers without keys are not looked at, unless they are malformed.
    """
    try:
        event = Event.parse(pdu, room_version)
        signers = event.required_signers
    except ProtocolError as problem:
        return (yield from _format_hints(pdu, room_version, problem))
    yield
    work = Work()
    hints = yield from diagnose_content_hash(event, work)
    for name in sorted(signers, key=str):
        hints += yield from _signature_hints(event, name, keys.get(name, ()), work)
    return hints


def _format_hints(
    pdu: Json, room_version: RoomVersion, problem: ProtocolError
) -> Steps[list[Hint]]:
    hints = [Hint("event-format", f"{problem} (room version {room_version.version})")]
    others: list[str] = []
    for each in ROOM_VERSIONS.values():
        yield
        if _is_of(pdu, each):
            others.append(each.version)
    if others:
        text = f"the event has the format of room version {', '.join(others)}"
        hints.append(Hint("event-version", text, None, room_version.version))
    return hints


def _is_of(pdu: Json, room_version: RoomVersion) -> bool:
    try:
        Event.parse(pdu, room_version)
    except ProtocolError:
        return False
    return True


def _signature_hints(
    event: Event, name: ServerName, keys: Sequence[CandidateKey], work: Work
) -> Steps[list[Hint]]:
    """Why an event is not signed by a server; empty if it is."""
    signatures = event_signatures(event.pdu, name)
    if not signatures:
        signers = as_object(event.pdu["signatures"], "`signatures`")
        text = "the event lacks the signature of a server that must sign it"
        return [Hint("signer-missing", text, listed(signers), name.name)]
    # Signatures by unknown keys are ignored where there is one by a known key.
    known = {each.verify_key.key_id for each in keys}
    claimed = sorted(signatures.keys() & known) or sorted(signatures)
    hints: list[Hint] = []
    for key_id in claimed[:_MAX_SIGNATURES]:
        signature = signatures[key_id]
        if isinstance(signature, BadJson):
            hints += _malformed(event, name, key_id)
        elif keys:
            hints += yield from _search(event, key_id, signature, keys, work)
    return hints


def _malformed(event: Event, name: ServerName, key_id: KeyId) -> list[Hint]:
    own = as_object(event.pdu["signatures"], "`signatures`")[name.name]
    text = as_object(own, "the signatures")[key_id]
    what = f"the signature by {key_id}"
    if not isinstance(text, str):
        return [Hint("base64-invalid", f"{what} is not a string")]
    return list(base64_hints(what, text, SIGNATURE_BYTES))


def _search(
    event: Event,
    key_id: KeyId,
    signature: bytes,
    keys: Sequence[CandidateKey],
    work: Work,
) -> Steps[list[Hint]]:
    """What a signature is over; empty if it is over what it should be."""
    for variant, message, trial in _explanations(event, key_trials(keys, key_id)):
        if work.is_over:
            break
        if trial is not None and trial.verify_key.verify(message, signature):
            return [*variant.hints, *trial.hints]
        count = work.hash_one if trial is None else work.try_one
        if count(len(message), variant.cost(len(message))):
            yield
    text = (
        f"no known mistake explains the signature by {key_id}; it is over the redacted "
        "event, with its `hashes`, without `signatures` and `unsigned`"
    )
    return [Hint("signature-unknown", text, None, clip(event.signed.decode("utf-8")))]


def _explanations(
    event: Event, trials: Sequence[KeyTrial]
) -> Iterator[tuple[Variant, bytes, KeyTrial | None]]:
    """What to try, as bytes and with a key; without one where it was tried before."""
    seen: set[int] = set()
    for variant in signed_variants(event.pdu, event.room_version):
        message = variant.write()
        tried = hash(message)
        if tried in seen:
            yield variant, message, None
            continue
        # All keys with the right object, which is the first, and the likely ones after.
        tried_with = trials[:_MAX_KEYS] if seen else trials
        seen.add(tried)
        for trial in tried_with:
            yield variant, message, trial

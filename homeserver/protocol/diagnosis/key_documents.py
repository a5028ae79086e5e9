"""What is wrong with a key document: members, keys, expiry, certificate, signatures.

Rules: all mistakes are listed, not the first one alone; only where the text is no JSON
object is nothing else looked at.

Specification: Server-server API, "Retrieving server keys"; the November 2014 text, the
same, for version 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from homeserver.protocol.canonical_json import (
    Json,
    as_integer,
    check_numbers,
    decode_base64,
    encode,
    encode_base64,
    not_a,
    parse_object,
)
from homeserver.protocol.diagnosis.base64_texts import base64_hints
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey, key_trials
from homeserver.protocol.diagnosis.event_variants import (
    Variant,
    in_forms,
    toggled_members,
)
from homeserver.protocol.diagnosis.headers import name_hints
from homeserver.protocol.diagnosis.hint import Hint, clip
from homeserver.protocol.diagnosis.search import Work
from homeserver.protocol.errors import MISSING, BadJson, ProtocolError, listed, quote
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import MAX_DOCUMENT_BYTES
from homeserver.protocol.key_entries import MAX_KEYS, read_entries
from homeserver.protocol.signing import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    VerifyKey,
    parse_signatures,
)
from homeserver.protocol.slices import Steps

Version = Literal[1, 2]

_SECONDS_BEFORE = 100_000_000_000  # as milliseconds, a time in 1973
_MS_PER_HOUR = 3_600_000
_MAX_SIGNATURES = 3  # that are looked at; most documents have one
_PEM = "-----BEGIN"


def diagnose_key_document(
    data: bytes,
    server_name: ServerName,
    version: Version,
    now_ts: int,
    certificate: bytes | None = None,
) -> Steps[list[Hint]]:
    """What has to change in a key document of `server_name`.

    `now_ts` is in milliseconds since 1970. `certificate` is the leaf certificate (DER)
    of the connection that a version 1 document came on, if it is known. Empty if the
    document is right and valid now.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        text = f"the key document has more than {MAX_DOCUMENT_BYTES} bytes"
        return [Hint("document-json", text)]
    try:
        document = parse_object(data)
        check_numbers(document)
    except ProtocolError as problem:
        return [Hint("document-json", str(problem))]
    yield
    hints = list(_name_hints(document, server_name))
    keys: list[CandidateKey] = []
    hints += _key_hints(document, "verify_keys", version, keys)
    listed_ids = {each.verify_key.key_id for each in keys}
    if version == 1:
        hints += _certificate_hints(document, certificate)
    else:
        hints += _time_hints(document.get("valid_until_ts", MISSING), now_ts)
        if "old_verify_keys" in document:
            hints += _key_hints(document, "old_verify_keys", version, keys)
    hints += yield from _signature_hints(document, server_name, keys, listed_ids)
    return hints


def _name_hints(document: Json, server_name: ServerName) -> Iterator[Hint]:
    claimed = document.get("server_name", MISSING)
    if claimed == server_name.name:
        return
    if not isinstance(claimed, str):
        text = str(not_a("a string", claimed, "`server_name`"))
        yield Hint("document-member", text, None, server_name.name)
        return
    yield from name_hints("`server_name`", claimed)
    text = (
        "`server_name` is another name; it is the server name before delegation, byte "
        "for byte"
    )
    yield Hint("document-name", text, clip(claimed), server_name.name)


def _key_hints(
    document: Json, member: str, version: Version, keys: list[CandidateKey]
) -> Iterator[Hint]:
    """The hints on the keys in a member; the valid ones are added to `keys`."""
    entries = document.get(member, MISSING)
    if not isinstance(entries, dict) or len(entries) > MAX_KEYS:
        kind = f"an object of at most {MAX_KEYS} keys"
        yield Hint("document-member", str(not_a(kind, entries, f"`{member}`")))
        return
    invalid: dict[str, str] = {}
    is_old = member == "old_verify_keys"

    def read(key_id: KeyId, entry: object) -> CandidateKey:
        key = VerifyKey.parse(key_id, _key_text(entry, version))
        if not is_old:
            return CandidateKey(key)
        expired_ts = as_integer(
            _members(entry).get("expired_ts", MISSING), "`expired_ts`"
        )
        return CandidateKey(key, "old", expired_ts)

    keys += read_entries(entries, read, invalid).values()
    for key_id, rule in invalid.items():
        text = f"{quote(key_id)} of `{member}` is ignored: {rule}"
        yield Hint("document-key", text)
        yield from _text_hints(key_id, entries[key_id])
    if not entries and not is_old:
        yield Hint("document-member", "`verify_keys` is empty; list the signing key")


def _key_text(entry: object, version: Version) -> str:
    if version == 1:
        if isinstance(entry, str):
            return entry
        raise BadJson("in version 1 a key is a string of base64")
    text = _members(entry).get("key")
    if isinstance(text, str):
        return text
    raise BadJson('in version 2 a key is an object, {"key": "its base64"}')


def _text_hints(key_id: str, entry: object) -> Iterator[Hint]:
    """The hints on the ID and the base64 of an ignored key."""
    if not key_id.startswith("ed25519:"):
        said = "the key ID is the algorithm, a colon and a version"
        yield Hint("key-id-algorithm", said, clip(key_id))
    text = _members(entry).get("key", entry)
    if isinstance(text, str):
        yield from base64_hints(f"the key {quote(key_id)}", text, KEY_BYTES)


def _time_hints(valid_until_ts: object, now_ts: int) -> Iterator[Hint]:
    if not isinstance(valid_until_ts, int) or isinstance(valid_until_ts, bool):
        text = str(not_a("an integer", valid_until_ts, "`valid_until_ts`"))
        yield Hint("document-member", f"{text}; it is in milliseconds since 1970")
    elif 0 <= valid_until_ts < _SECONDS_BEFORE:
        text = "`valid_until_ts` seems to be in seconds; it is in milliseconds"
        seconds = str(valid_until_ts)
        yield Hint("document-seconds", text, seconds, f"{seconds}000")
    elif valid_until_ts < now_ts:
        hours = (now_ts - valid_until_ts) / _MS_PER_HOUR
        text = (
            f"the document expired {hours:.1f} h ago; make it anew before "
            "`valid_until_ts`"
        )
        yield Hint("document-expired", text, str(valid_until_ts), f"after {now_ts}")


def _certificate_hints(document: Json, certificate: bytes | None) -> Iterator[Hint]:
    text = document.get("tls_certificate", MISSING)
    if not isinstance(text, str):
        said = str(not_a("a string", text, "`tls_certificate`"))
        yield Hint("document-member", f"{said}; it is the base64 of DER")
        return
    if _PEM in text:
        said = "`tls_certificate` is PEM; it is the base64 of DER, in one line"
        yield Hint("document-member", said)
        return
    try:
        given = decode_base64(text)
    except BadJson as problem:
        yield Hint("document-member", f"`tls_certificate` is {problem}")
        return
    if certificate is not None and given != certificate:
        said = (
            "`tls_certificate` is not the certificate of this connection; it is the "
            "leaf that the listener presents"
        )
        sent, seen = encode_base64(given), encode_base64(certificate)
        yield Hint("document-certificate", said, clip(sent), clip(seen))


def _signature_hints(
    document: Json,
    server_name: ServerName,
    keys: Sequence[CandidateKey],
    listed_ids: set[KeyId],
) -> Steps[list[Hint]]:
    """Why a signature by a listed key does not verify, or why there is none."""
    try:
        signatures = parse_signatures(document, server_name)
    except BadJson as problem:
        return [Hint("document-unsigned", str(problem))]
    by_listed = sorted(signatures.keys() & listed_ids)
    if not by_listed:
        signers = _members(document.get("signatures"))
        text = (
            f"the document has no signature of {server_name} by a key of "
            f"`verify_keys`; it has signatures of {listed(signers)}, and its own are "
            f"by {listed(signatures)}"
        )
        return [Hint("document-unsigned", text, None, listed(listed_ids))]
    work = Work()
    hints: list[Hint] = []
    for key_id in by_listed[:_MAX_SIGNATURES]:
        signature = signatures[key_id]
        if isinstance(signature, BadJson):
            hints += _malformed(document, server_name, key_id)
        else:
            hints += yield from _search(document, key_id, signature, keys, work)
    return hints


def _malformed(document: Json, server_name: ServerName, key_id: KeyId) -> list[Hint]:
    text = _members(_members(document["signatures"])[server_name.name])[key_id]
    what = f"the signature by {key_id}"
    if not isinstance(text, str):
        return [Hint("base64-invalid", f"{what} is not a string")]
    return list(base64_hints(what, text, SIGNATURE_BYTES))


def _search(
    document: Json,
    key_id: KeyId,
    signature: bytes,
    keys: Sequence[CandidateKey],
    work: Work,
) -> Steps[list[Hint]]:
    """What a signature is over; empty if it is over what it should be."""
    trials = key_trials(keys, key_id)
    for variant in _variants(document):
        if work.is_over:
            break
        message = variant.write()
        for trial in trials:
            if trial.verify_key.verify(message, signature):
                return [*variant.hints, *trial.hints]
            if work.try_one(len(message), variant.cost(len(message))):
                yield
    expected = encode(_signed(document)).decode("utf-8")
    text = f"no known mistake explains the signature by {key_id}"
    return [Hint("signature-unknown", text, None, clip(expected))]


def _signed(document: Json) -> Json:
    return {k: v for k, v in document.items() if k not in {"signatures", "unsigned"}}


def _variants(document: Json) -> Iterator[Variant]:
    """What may have been signed, the right object first."""
    right = _signed(document)
    yield Variant(right)
    yield from in_forms(right)
    toggled = list(toggled_members(document, right, "document"))
    yield from toggled
    for first in toggled:
        yield from toggled_members(document, first.value, "document", first.made_by)


def _members(value: object) -> Mapping[str, object]:
    """The members of a JSON object; none of anything else."""
    return value if isinstance(value, dict) else {}

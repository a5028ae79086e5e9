"""Which mistake explains an event: each mistake, made without our code."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import nacl.signing
import pytest

from homeserver.protocol.diagnosis import events
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.diagnosis.event_ids import diagnose_event_id
from homeserver.protocol.diagnosis.event_variants import signed_variants
from homeserver.protocol.diagnosis.events import diagnose_event
from homeserver.protocol.diagnosis.hint import CODES, Hint
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.protocol.slices import run

THEM = ServerName.parse("them.example")
SEED = nacl.signing.SigningKey(b"1" * 32)
OTHER_SEED = nacl.signing.SigningKey(b"2" * 32)
KEY = CandidateKey(VerifyKey(KeyId("ed25519:a"), bytes(SEED.verify_key)))

Object = dict[str, Any]
Write = Callable[[Object], bytes]

EVENT: Object = {
    "type": "m.room.member",
    "room_id": "!r:them.example",
    "sender": "@a:them.example",
    "state_key": "@a:them.example",
    "content": {
        "membership": "join",
        "displayname": "Grüße",
        "join_authorised_via_users_server": "@b:them.example",
    },
    "origin_server_ts": 1_700_000_000_000,
    "depth": 3,
    "prev_events": [],
    "auth_events": [],
    "unsigned": {"age": 4},
    "age_ts": 5,
}

KEPT = frozenset(
    [
        "type",
        "room_id",
        "sender",
        "state_key",
        "content",
        "hashes",
        "depth",
        "prev_events",
        "auth_events",
        "origin_server_ts",
        "event_id",
    ]
)


def canonical(value: object) -> bytes:
    """Canonical JSON by the standard library."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def unpadded(data: bytes) -> str:
    """Unpadded base64."""
    return base64.b64encode(data).decode().rstrip("=")


def without(value: Object, *names: str) -> Object:
    """A copy without members."""
    return {k: v for k, v in value.items() if k not in names}


def redacted(event: Object, content: Iterable[str] = ("membership",)) -> Object:
    """The redacted event, with these members of its content."""
    kept = {k: v for k, v in event.items() if k in KEPT}
    return {**kept, "content": {k: event["content"][k] for k in content}}


def redacted_9(event: Object) -> Object:
    """The redaction of room versions 9 and later."""
    return redacted(event, ("membership", "join_authorised_via_users_server"))


def hashed_over(event: Object) -> bytes:
    """What the content hash is over."""
    return canonical(without(event, "unsigned", "signatures", "hashes"))


def made(
    hashed: Write = hashed_over,
    signed: Write = lambda event: canonical(redacted_9(event)),
    event: Object = EVENT,
    **more: Any,
) -> Object:
    """An event whose hash and signature are over what these functions return."""
    event = {**event, **more}
    event["hashes"] = {"sha256": unpadded(hashlib.sha256(hashed(event)).digest())}
    signature = unpadded(SEED.sign(signed(event)).signature)
    return {**event, "signatures": {"them.example": {"ed25519:a": signature}}}


def diagnose(
    event: Object, version: str = "10", keys: list[CandidateKey] | None = None
) -> list[Hint]:
    """The hints on an event."""
    candidates = [KEY] if keys is None else keys
    found = run(diagnose_event(event, ROOM_VERSIONS[version], {THEM: candidates}))
    assert {hint.code for hint in found} <= CODES.keys()
    return found


def codes(event: Object, version: str = "10") -> list[str]:
    """The codes of `diagnose`."""
    return [hint.code for hint in diagnose(event, version)]


def test_right() -> None:
    """There is no hint on what verifies."""
    assert diagnose(made()) == []


HASHES: list[tuple[Write, str]] = [
    (lambda e: canonical(without(e, "signatures", "hashes")), "hash-member-in"),
    (
        lambda e: canonical({**json.loads(hashed_over(e)), "hashes": {}}),
        "hash-member-in",
    ),
    (
        lambda e: canonical({**json.loads(hashed_over(e)), "origin": "them.example"}),
        "hash-member-in",
    ),
    (
        lambda e: canonical(without(json.loads(hashed_over(e)), "age_ts")),
        "hash-member-out",
    ),
    (lambda e: canonical(without(redacted_9(e), "hashes")), "hash-redacted"),
    (lambda e: json.dumps(json.loads(hashed_over(e))).encode(), "json-spaces"),
    (
        lambda e: json.dumps(
            json.loads(hashed_over(e)), separators=(",", ":"), ensure_ascii=True
        ).encode(),
        "json-escapes",
    ),
    (lambda e: b"?", "hash-unknown"),
]


@pytest.mark.parametrize(("hashed", "code"), HASHES)
def test_content_hash(hashed: Write, code: str) -> None:
    """The content hash is over something else; both hashes are told."""
    event = made(hashed)
    found = diagnose(event)
    assert code in [hint.code for hint in found]
    if not code.startswith("json"):
        right = unpadded(hashlib.sha256(hashed_over(event)).digest())
        [hint] = found
        assert (hint.received, hint.expected) == (event["hashes"]["sha256"], right)


def test_two_members() -> None:
    """Two members that are in the hash, or not, are both told."""
    event = made(lambda e: canonical(without(e, "signatures", "hashes", "age_ts")))
    assert codes(event) == ["hash-member-in", "hash-member-out"]


@pytest.mark.parametrize(
    ("encode", "code"),
    [
        (lambda digest: digest.hex(), "base64-hex"),
        (lambda digest: base64.urlsafe_b64encode(digest).decode(), "base64-urlsafe"),
        (lambda digest: "?", "base64-invalid"),
    ],
)
def test_encoding_of_the_hash(encode: Callable[[bytes], str], code: str) -> None:
    """The content hash is not base64."""
    event = made()
    event["hashes"] = {"sha256": encode(b"\xff" * 32)}
    event["signatures"]["them.example"]["ed25519:a"] = unpadded(
        SEED.sign(canonical(redacted_9(event))).signature
    )
    assert codes(event) == [code]


SIGNED: list[tuple[Write, list[str]]] = [
    (lambda e: canonical(redacted(e)), ["event-redaction"]),
    (lambda e: canonical(redacted(e, ())), ["signature-unknown"]),
    (lambda e: canonical(without(e, "unsigned", "signatures")), ["event-unredacted"]),
    (
        lambda e: canonical(without(e, "signatures")),
        ["event-unredacted", "event-member-in"],
    ),
    (
        lambda e: canonical({**redacted_9(e), "unsigned": e["unsigned"]}),
        ["event-member-in"],
    ),
    (lambda e: canonical({**redacted_9(e), "signatures": {}}), ["event-member-in"]),
    (
        lambda e: canonical({**redacted_9(e), "origin": "them.example"}),
        ["event-member-in"],
    ),
    (lambda e: canonical(without(redacted_9(e), "hashes")), ["event-member-out"]),
    (
        lambda e: canonical({**without(redacted_9(e), "hashes"), "age_ts": 5}),
        ["event-member-in", "event-member-out"],
    ),
    (
        lambda e: canonical(without(redacted(e), "hashes")),
        ["event-redaction", "event-member-out"],
    ),
    (lambda e: json.dumps(redacted_9(e), sort_keys=True).encode(), ["json-spaces"]),
    (lambda e: hashlib.sha256(canonical(redacted_9(e))).digest(), ["digest-signed"]),
    (lambda e: b"?", ["signature-unknown"]),
]


@pytest.mark.parametrize(("signed", "expected"), SIGNED)
def test_signature(signed: Write, expected: list[str]) -> None:
    """The signature is over something else."""
    found = codes(made(signed=signed, event=without(EVENT, "age_ts") | {"age_ts": 5}))
    assert sorted(found) == sorted(expected)


def test_redaction_names_versions() -> None:
    """The versions whose redaction was signed are told, and that of the room."""
    [hint] = diagnose(made(signed=lambda e: canonical(redacted(e))))
    assert hint.text == (
        "the event was redacted as in room version 1, 2, 3, 4, 5, 6, 7, 8, 1 as of "
        "2014; the room has version 10"
    )


def test_signers() -> None:
    """A server that must sign is missing; the ones that did are told."""
    event = made()
    event["signatures"] = {"matrix.them.example": event["signatures"]["them.example"]}
    [hint] = diagnose(event)
    assert hint.code == "signer-missing"
    assert (hint.received, hint.expected) == ("matrix.them.example", "them.example")


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        ("_" * 86, "base64-urlsafe"),
        ("ff" * 64, "base64-hex"),
        (unpadded(b"x" * 70), "signature-with-message"),
        (17, "base64-invalid"),
    ],
)
def test_malformed_signatures(signature: object, code: str) -> None:
    """A signature that is not base64 of 64 bytes is told, even without keys."""
    event = made()
    event["signatures"]["them.example"]["ed25519:a"] = signature
    assert [hint.code for hint in diagnose(event, keys=[])] == [code]


def test_without_keys() -> None:
    """Without keys nothing is said of a signature."""
    assert diagnose(made(signed=lambda _: b"?"), keys=[]) == []


def test_keys() -> None:
    """The signature is by another key; one by an unknown key matters alone."""
    other = CandidateKey(VerifyKey(KeyId("ed25519:b"), bytes(OTHER_SEED.verify_key)))
    event = made()
    signature = OTHER_SEED.sign(canonical(redacted_9(event))).signature
    own = event["signatures"]["them.example"]
    right = own["ed25519:a"]
    own["ed25519:a"] = unpadded(signature)
    assert [hint.code for hint in diagnose(event, keys=[KEY, other])] == ["key-id"]
    own["ed25519:c"] = right
    assert [hint.code for hint in diagnose(event, keys=[KEY])] == ["signature-unknown"]
    own["ed25519:a"], own["ed25519:c"] = right, unpadded(signature)
    assert diagnose(event, keys=[KEY]) == []
    del own["ed25519:a"]
    assert [hint.code for hint in diagnose(event, keys=[other])] == ["key-id"]


@pytest.mark.parametrize(
    ("number", "found"), [(4, ["json-spaces", "key-id"]), (5, ["signature-unknown"])]
)
def test_mistakes_are_tried_with_few_keys(number: int, found: list[str]) -> None:
    """A mistake beside that of the key is found with each of the first four keys."""
    event = made(signed=lambda e: json.dumps(redacted_9(e), sort_keys=True).encode())
    ids = [KeyId(f"ed25519:x{each}") for each in range(number)]
    wrong = bytes(OTHER_SEED.verify_key)
    keys = [CandidateKey(VerifyKey(each, wrong)) for each in ids[:-1]]
    keys.append(CandidateKey(VerifyKey(ids[-1], bytes(SEED.verify_key))))
    assert [hint.code for hint in diagnose(event, keys=keys)] == found


def test_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search also ends where nothing is left to try."""
    few = [*islice(signed_variants(made(), ROOM_VERSIONS["10"]), 3)]
    monkeypatch.setattr(events, "signed_variants", lambda *_: few)
    assert codes(made(signed=lambda _: b"?")) == ["signature-unknown"]


def test_format() -> None:
    """What the format lacks is told, and the versions that it is of."""
    found = diagnose(made(), "1")
    assert [hint.code for hint in found] == ["event-format", "event-version"]
    assert "`event_id`" in found[0].text
    assert found[1].text.endswith("3, 4, 5, 6, 7, 8, 9, 10, 11, 12")
    assert codes(without(made(), "depth")) == ["event-format"]


def identify(event: Object, claimed: str, version: str = "10") -> list[str]:
    """The codes of the hints on an event ID."""
    found = run(diagnose_event_id(event, ROOM_VERSIONS[version], claimed))
    assert {hint.code for hint in found} <= CODES.keys()
    return [hint.code for hint in found]


def hashed_id(data: bytes) -> str:
    """The event ID of a reference hash over some bytes."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "$" + digest.decode().rstrip("=")


MADE = made(depth=4)
RIGHT_ID = hashed_id(canonical(redacted_9(MADE)))
assert "-" in RIGHT_ID or "_" in RIGHT_ID

IDS = [
    (RIGHT_ID, []),
    (RIGHT_ID + "=", ["id-padded"]),
    (RIGHT_ID + ":them.example", ["id-alphabet"]),
    (RIGHT_ID.replace("-", "+").replace("_", "/"), ["id-alphabet"]),
    (hashed_id(hashed_over(MADE)), ["id-of-content"]),
    (hashed_id(canonical(redacted(MADE))), ["event-redaction"]),
    (
        hashed_id(canonical(without(MADE, "unsigned", "signatures"))),
        ["event-unredacted"],
    ),
    (
        hashed_id(canonical({**redacted_9(MADE), "signatures": MADE["signatures"]})),
        ["event-member-in"],
    ),
    (hashed_id(json.dumps(redacted_9(MADE), sort_keys=True).encode()), ["json-spaces"]),
    (hashed_id(b"?"), ["id-unknown"]),
    ("$x", ["id-unknown"]),
    ("*", ["id-unknown"]),
]


@pytest.mark.parametrize(("claimed", "expected"), IDS)
def test_event_id(claimed: str, expected: list[str]) -> None:
    """How a peer came to another ID of an event."""
    assert identify(MADE, claimed) == expected


def test_event_id_of_old_versions() -> None:
    """In room versions 1 and 2 the event names its ID, and has to."""
    event = made(event_id="$x:them.example")
    assert identify(event, "$x:them.example", "1") == []
    assert identify(event, RIGHT_ID, "1") == ["id-unknown"]
    assert identify(MADE, RIGHT_ID, "2") == ["event-format"]

"""Which mistake explains an event's signatures: each mistake, made without our code."""

import hashlib
import json
from itertools import islice

import pytest

from homeserver.protocol.diagnosis import events
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.diagnosis.event_variants import signed_variants
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import VerifyKey
from tests.support.diagnosed_events import (
    EVENT,
    KEY,
    OTHER_SEED,
    SEED,
    Write,
    codes,
    diagnose,
    made,
    redacted,
    redacted_9,
    unpadded,
)
from tests.support.plain_json import canonical, without


def test_right() -> None:
    """There is no hint on what verifies."""
    assert diagnose(made()) == []


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

"""Which other key explains a request's signature, alone or with a mistake."""

import pytest

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.signing import VerifyKey
from tests.support.diagnosed_requests import (
    CURRENT,
    KEY_ID,
    OTHER_SEED,
    SEED,
    codes,
    diagnose,
    signed_object,
    verify_key,
)
from tests.support.plain_json import canonical, without

SERVED = CandidateKey(verify_key(OTHER_SEED), "served")
KEYS = [
    ([CandidateKey(verify_key(OTHER_SEED, "ed25519:b"))], "key-id"),
    ([SERVED], "key-replaced"),
    ([CandidateKey(verify_key(OTHER_SEED), "expired", 17)], "key-expired"),
    ([CandidateKey(verify_key(OTHER_SEED), "old", 17)], "key-old"),
    ([CandidateKey(VerifyKey(KEY_ID, bytes(OTHER_SEED)))], "key-is-seed"),
]


@pytest.mark.parametrize(("more", "code"), KEYS)
def test_keys(more: list[CandidateKey], code: str) -> None:
    """The signature is right, but by another key than the known one."""
    message = canonical(signed_object())
    assert codes(message, keys=[CURRENT, *more], by=OTHER_SEED) == [code]
    assert codes(message, keys=more, by=OTHER_SEED) == [code]


def test_key_replaced() -> None:
    """Both keys are told where both are known."""
    message = canonical(signed_object())
    [hint] = diagnose(message, keys=[CURRENT, SERVED], by=OTHER_SEED)
    assert hint.received == encode_base64(bytes(OTHER_SEED.verify_key))
    assert hint.expected == encode_base64(bytes(SEED.verify_key))


def test_key_and_mistake() -> None:
    """A mistake is found by the other keys, too."""
    message = canonical(without(signed_object(), "content"))
    other = CandidateKey(verify_key(OTHER_SEED, "ed25519:b"))
    found = codes(message, keys=[CURRENT, other], by=OTHER_SEED)
    assert found == ["content-missing", "key-id"]

"""Which signatures verify an object, and which spoil it.

Rules: every signature by a known key must verify, and there must be one; no changed
bit passes.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import (
    VerifyKey,
    parse_signatures,
    signed_bytes,
    verify,
)
from tests.support.signing_vectors import (
    DOMAIN,
    KEY,
    OTHER_KEY,
    PUBLIC_KEY,
    SEEDS,
    VECTORS,
    keys,
    signing_key,
)


@pytest.mark.parametrize(("value", "signature"), VECTORS)
def test_verify_vector(value: Json, signature: str) -> None:
    """The signature that is written in the specification verifies."""
    signed: Json = {**value, "signatures": {"domain": {"ed25519:1": signature}}}
    verified = verify(
        signed_bytes(signed),
        parse_signatures(signed, DOMAIN),
        {KEY.key_id: VerifyKey.parse(KEY.key_id, PUBLIC_KEY)},
        "the example",
    )
    assert verified == {"ed25519:1"}


def test_verify_passes_over_signatures_by_unknown_keys() -> None:
    """A signature by a key that is not given is not judged, and not reported."""
    signatures = {KEY.key_id: KEY.sign(b"a"), OTHER_KEY.key_id: bytes(64)}
    assert verify(b"a", signatures, keys(KEY), "a") == {"ed25519:1"}


def test_verify_passes_over_keys_without_a_signature() -> None:
    """Not every key that is given needs to have signed."""
    signatures = {KEY.key_id: KEY.sign(b"a")}
    assert verify(b"a", signatures, keys(KEY, OTHER_KEY), "a") == {"ed25519:1"}


def test_verify_reports_every_key() -> None:
    """All keys whose signature was verified are reported."""
    signatures = {key.key_id: key.sign(b"a") for key in (KEY, OTHER_KEY)}
    assert verify(b"a", signatures, keys(KEY, OTHER_KEY), "a") == {
        "ed25519:1",
        "ed25519:2",
    }


def test_verify_needs_a_known_key() -> None:
    """Without a signature by a known key nothing is proven, and both sides are told."""
    with pytest.raises(Unauthorized) as refusal:
        verify(b"a", {KEY.key_id: KEY.sign(b"a")}, keys(OTHER_KEY), "the request")
    assert str(refusal.value) == (
        "the request is not signed by a known key: it has signatures by "
        "ed25519:1; known keys: ed25519:2"
    )


@pytest.mark.parametrize("known", [{}, keys(KEY)])
def test_verify_needs_a_signature(known: dict[KeyId, VerifyKey]) -> None:
    """What has no signature does not verify, whichever keys are known."""
    with pytest.raises(Unauthorized, match="not signed by a known key"):
        verify(b"a", {}, known, "the request")


def test_one_bad_signature_spoils_the_good_ones() -> None:
    """Every signature by a known key must verify, not any."""
    signatures = {KEY.key_id: KEY.sign(b"a"), OTHER_KEY.key_id: OTHER_KEY.sign(b"b")}
    with pytest.raises(
        Unauthorized, match=r"^signature does not verify: ed25519:2 over the request$"
    ):
        verify(b"a", signatures, keys(KEY, OTHER_KEY), "the request")


def test_signature_of_another_length_does_not_verify() -> None:
    """A key answers no to a signature that is too short or too long."""
    signature = KEY.sign(b"a")
    assert not KEY.verify_key.verify(b"a", signature[:-1])
    assert not KEY.verify_key.verify(b"a", signature + b"\0")


@pytest.mark.parametrize("moved", range(1, 5))
def test_end_of_a_signature_in_front_of_its_message(moved: int) -> None:
    """What does not end where a signature ends is none, whatever comes after it."""
    signature = KEY.sign(b"message")
    assert not KEY.verify_key.verify(
        signature[-moved:] + b"message", signature[:-moved]
    )


@pytest.mark.parametrize("key", [b"", KEY.verify_key.key[:-1], KEY.verify_key.key * 2])
def test_key_of_another_length_verifies_nothing(key: bytes) -> None:
    """No byte beside a key is read."""
    signature = KEY.sign(b"message")
    assert not VerifyKey(KEY.key_id, key).verify(b"message", signature)


def test_key_that_is_no_point_verifies_nothing() -> None:
    """A key that anyone can forge signatures for answers no to the forged one."""
    assert not VerifyKey(KEY.key_id, bytes(32)).verify(b"a", bytes(64))


MESSAGES = st.binary(min_size=1, max_size=200)


@given(SEEDS, MESSAGES)
def test_what_was_signed_verifies(seed: bytes, message: bytes) -> None:
    """A signature verifies with the key that made it, over what it was made over."""
    key = signing_key(seed, "ed25519:1")
    signatures = {key.key_id: key.sign(message)}
    assert verify(message, signatures, keys(key), "the message") == {"ed25519:1"}


@given(MESSAGES, st.data())
def test_changed_message_does_not_verify(message: bytes, data: st.DataObject) -> None:
    """A message with any one bit changed does not verify."""
    changed = with_one_bit_changed(message, data)
    assert not KEY.verify_key.verify(changed, KEY.sign(message))


@given(MESSAGES, st.data())
def test_changed_signature_does_not_verify(message: bytes, data: st.DataObject) -> None:
    """A signature with any one bit changed does not verify."""
    changed = with_one_bit_changed(KEY.sign(message), data)
    assert not KEY.verify_key.verify(message, changed)


@given(MESSAGES, st.data())
def test_changed_key_does_not_verify(message: bytes, data: st.DataObject) -> None:
    """A key with any one bit changed verifies no signature of the first key."""
    changed = VerifyKey(KEY.key_id, with_one_bit_changed(KEY.verify_key.key, data))
    assert not changed.verify(message, KEY.sign(message))


def with_one_bit_changed(value: bytes, data: st.DataObject) -> bytes:
    """Bytes of the same length that differ in one bit."""
    bit = data.draw(st.integers(0, 8 * len(value) - 1), "changed bit")
    changed = int.from_bytes(value) ^ 1 << bit
    return changed.to_bytes(len(value))

"""What follows from a seed."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from homeserver.lab.seed import Seed
from homeserver.protocol.identifiers import KeyId

KEY_ID = KeyId("ed25519:a")

Derive = Callable[[Seed, str], object]


def tls_key(seed: Seed, label: str) -> bytes:
    """The bytes of a TLS key."""
    return seed.tls_key(label).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )


VALUES: list[Derive] = [
    lambda seed, label: seed.bytes(100, label),
    lambda seed, label: seed.numbers(label).random(),
    lambda seed, label: seed.signing_key(KEY_ID, label).verify_key,
    lambda seed, label: seed.serial_number(label),
    tls_key,
]


@pytest.mark.parametrize("derive", VALUES)
def test_a_value_follows_from_the_seed_and_its_label(derive: Derive) -> None:
    """The same seed and label give the same value, and no others do."""
    assert derive(Seed("one"), "x") == derive(Seed("one"), "x")
    assert derive(Seed("one"), "x") != derive(Seed("two"), "x")
    assert derive(Seed("one"), "x") != derive(Seed("one"), "y")


def test_labels_are_not_joined() -> None:
    """Two lists of labels with the same letters give different values."""
    seed = Seed("s")
    assert seed.bytes(32, "a", "b") != seed.bytes(32, "ab")
    assert seed.bytes(32, "a", "b") != seed.bytes(32, "a", "", "b")


def test_long_values_do_not_repeat() -> None:
    """Each block of a long value differs from the others."""
    value = Seed("s").bytes(640, "x")
    assert len({value[n : n + 64] for n in range(0, 640, 64)}) == 10


def test_random_seeds_differ() -> None:
    """A lab without a seed is like no other."""
    assert Seed.random().text != Seed.random().text

"""What a lab derives from its seed: keys, serial numbers, random choices.

Rules: everything random in a lab follows from one text, so that the same test sees the
same bytes. A value follows from the seed and its labels alone, and not from the order
in which values are asked for. The keys are for tests: they can be computed
from the seed.

Theory: the bytes are HMAC-SHA-512 of the labels and a block counter, with the seed as
the key. Labels are joined with their lengths, so that no two lists are one text.
"""

import hmac
import secrets
from random import Random
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec
from nacl.signing import SigningKey as NaclSigningKey

from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import KEY_BYTES, SigningKey

# SEC 2, section 2.4.2: the order of the group of P-256.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

# FIPS 186-5, appendix A.2.1: 64 bits more than the order has make the remainder
# uniform.
_P256_SEED_BYTES = 40

_SERIAL_BYTES = 16  # RFC 5280, section 4.1.2.2: at most 20, and positive


class Seed:
    """A text from which values follow."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._key = text.encode("utf-8", "surrogateescape")

    @classmethod
    def random(cls) -> Self:
        """A seed with 256 bits from the system's randomness."""
        return cls(secrets.token_urlsafe(32))

    def bytes(self, length: int, *labels: str) -> bytes:
        """The `length` bytes that follow for `labels`."""
        message = b"".join(
            b"%d:%b," % (len(label), label)
            for label in (each.encode("utf-8", "surrogateescape") for each in labels)
        )
        blocks = b""
        while len(blocks) < length:
            counter = (len(blocks) // 64).to_bytes(4)
            blocks += hmac.digest(self._key, counter + message, "sha512")
        return blocks[:length]

    def numbers(self, *labels: str) -> Random:
        """A source of random numbers of its own for `labels`."""
        return Random(self.bytes(32, "random", *labels))  # noqa: S311 - repeatable

    def signing_key(self, key_id: KeyId, *labels: str) -> SigningKey:
        """The ed25519 key with that ID."""
        return SigningKey(
            key_id,
            NaclSigningKey(self.bytes(KEY_BYTES, "ed25519", key_id, *labels)),
        )

    def tls_key(self, *labels: str) -> ec.EllipticCurvePrivateKey:
        """A P-256 key for TLS."""
        number = int.from_bytes(self.bytes(_P256_SEED_BYTES, "P-256", *labels))
        return ec.derive_private_key(number % (_P256_ORDER - 1) + 1, ec.SECP256R1())

    def serial_number(self, *labels: str) -> int:
        """A serial number for a certificate."""
        return int.from_bytes(self.bytes(_SERIAL_BYTES, "serial", *labels)) | 1

"""Keys of a user, made for a test that brings none of its own.

Rules: the keys are real ones and signed as clients sign theirs; the private halves are
forgotten. So other servers can check them, and nothing can be decrypted with them.

Specification: Client-server API, "Device keys", "One-time and fallback keys",
"Cross-signing".
"""

from collections.abc import Sequence
from random import Random

from msgspec import Struct
from nacl.bindings import crypto_scalarmult_base
from nacl.signing import SigningKey

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.signing import signed_bytes

SIGNED_CURVE25519 = "signed_curve25519"

_ALGORITHMS = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]
_SEED_BYTES = 32  # of a key of either curve


class Signer(Struct, frozen=True):
    """A key of a user that signs other keys of that user."""

    user_id: str
    name: str
    """What follows `ed25519:`: the ID of a device, or the public key itself."""

    key: SigningKey

    def sign(self, value: Json) -> Json:
        """A copy of `value` with the signature of this key added."""
        signature = encode_base64(self.key.sign(signed_bytes(value)).signature)
        found = value.get("signatures")
        signatures = found if isinstance(found, dict) else {}
        own = {**signatures.get(self.user_id, {}), f"ed25519:{self.name}": signature}
        return {**value, "signatures": {**signatures, self.user_id: own}}


class KeyMaker:
    """Makes the keys of one user."""

    def __init__(self, user_id: str, random: Random) -> None:
        self._user_id = user_id
        self._random = random

    def device(self, device_id: str) -> tuple[Json, Signer]:
        """The keys of a device, signed by itself, and what signs for it."""
        signer = Signer(self._user_id, device_id, SigningKey(self._seed()))
        keys: Json = {
            "algorithms": _ALGORITHMS,
            "device_id": device_id,
            "keys": {
                f"curve25519:{device_id}": self._curve25519(),
                f"ed25519:{device_id}": _public(signer.key),
            },
            "user_id": self._user_id,
        }
        return signer.sign(keys), signer

    def one_time(
        self, signer: Signer, count: int, *, is_fallback: bool = False
    ) -> Json:
        """So many keys for one session each: {algorithm and key ID: key}."""
        made: Json = {}
        for number in range(count):
            name = f"fallback_{number}" if is_fallback else f"key_{number}"
            key: Json = {"key": self._curve25519()}
            if is_fallback:
                key["fallback"] = True
            made[f"{SIGNED_CURVE25519}:{name}"] = signer.sign(key)
        return made

    def cross_signing(self) -> tuple[Json, Json, Signer]:
        """The master key, the self-signing key, and what signs devices with it."""
        master, own = SigningKey(self._seed()), SigningKey(self._seed())
        by_master = Signer(self._user_id, _public(master), master)
        by_own = Signer(self._user_id, _public(own), own)
        self_signing = by_master.sign(self._usage(["self_signing"], own))
        return self._usage(["master"], master), self_signing, by_own

    def _usage(self, usage: Sequence[str], key: SigningKey) -> Json:
        public = _public(key)
        return {
            "keys": {f"ed25519:{public}": public},
            "usage": [*usage],
            "user_id": self._user_id,
        }

    def _curve25519(self) -> str:
        return encode_base64(crypto_scalarmult_base(self._seed()))

    def _seed(self) -> bytes:
        return self._random.randbytes(_SEED_BYTES)


def _public(key: SigningKey) -> str:
    return encode_base64(bytes(key.verify_key))

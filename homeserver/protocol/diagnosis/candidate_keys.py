"""The keys that may have made a signature, each with what its use would mean.

Rules: the key that the signature names comes first, then the other keys of its server,
then each key read as a private seed.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import nacl.bindings
from msgspec import Struct

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import VerifyKey

MAX_KEYS = 12  # of one server; most have one or two

Standing = Literal["current", "expired", "old", "served"]
"""`served`: the server serves this key now, under the ID of another one known here."""


class CandidateKey(Struct, frozen=True):
    """A key that may have made a signature."""

    verify_key: VerifyKey
    standing: Standing = "current"
    until_ts: int | None = None
    """The end of its use, in milliseconds since 1970, if it is over."""


class KeyTrial(Struct, frozen=True):
    """A key to verify a signature with, and the hints if that succeeds."""

    verify_key: VerifyKey
    hints: tuple[Hint, ...]


def key_trials(keys: Iterable[CandidateKey], claimed: KeyId) -> Sequence[KeyTrial]:
    """The keys to try for a signature that names the key `claimed`."""
    # The claimed key first; a sort is stable.
    ordered = sorted(keys, key=lambda each: each.verify_key.key_id != claimed)
    ordered = ordered[:MAX_KEYS]
    return [
        *(
            KeyTrial(each.verify_key, tuple(_hints(each, claimed, ordered)))
            for each in ordered
        ),
        *(_as_seed(each.verify_key) for each in ordered),
    ]


def _hints(
    candidate: CandidateKey, claimed: KeyId, keys: Sequence[CandidateKey]
) -> list[Hint]:
    key_id = candidate.verify_key.key_id
    found: list[Hint] = []
    if key_id != claimed:
        found.append(
            Hint(
                "key-id",
                "the signature names another key than the one that made it",
                claimed,
                key_id,
            )
        )
    match candidate.standing:
        case "served":
            known = next(
                (
                    encode_base64(each.verify_key.key)
                    for each in keys
                    if each.verify_key.key_id == key_id and each is not candidate
                ),
                None,
            )
            found.append(
                Hint(
                    "key-replaced",
                    f"the signature is by the key that the server has now as {key_id}, "
                    "which is not the key known here under this ID; give a new key a "
                    "new ID",
                    encode_base64(candidate.verify_key.key),
                    known,
                )
            )
        case "expired":
            found.append(
                Hint(
                    "key-expired",
                    f"the signature is right, but {key_id} expired at "
                    f"{candidate.until_ts}; serve a key document with a later "
                    "`valid_until_ts`",
                )
            )
        case "old":
            found.append(
                Hint(
                    "key-old",
                    f"the signature is right, but {key_id} is among the server's "
                    "`old_verify_keys`, which verify no request; sign with a key of "
                    "`verify_keys`",
                )
            )
        case _:
            pass
    return found


def _as_seed(published: VerifyKey) -> KeyTrial:
    public, _ = nacl.bindings.crypto_sign_seed_keypair(published.key)
    hint = Hint(
        "key-is-seed",
        f"the key published as {published.key_id} is the private seed of the signing "
        "key; publish its public key, under a new ID and of a new seed",
        encode_base64(published.key),
        encode_base64(public),
    )
    return KeyTrial(VerifyKey(published.key_id, public), (hint,))

"""Bad key documents of `domain`, and the reason for which each is refused.

They are signed as well as their form allows: what is refused is the form.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_entries import MAX_KEYS
from homeserver.protocol.signing import SigningKey, sign
from tests.support.key_documents import signing_key

DOMAIN = ServerName.parse("domain")
KEY = signing_key(KeyId("ed25519:1"))
PUBLIC_KEY = encode_base64(KEY.verify_key.key)

UNTIL = 1_900_000_000_000


@dataclass(frozen=True)
class BadDocument:
    """One of them."""

    name: str
    version: int
    data: bytes
    said: str
    """A part of the sentence that it is refused with."""

    def __str__(self) -> str:
        return f"v{self.version} {self.name}"


def entry(key: bytes | str, version: int) -> object:
    """A key as documents of a version list it."""
    text = key if isinstance(key, str) else encode_base64(key)
    return text if version == 1 else {"key": text}


def document(version: int, keys: Json | None = None) -> Json:
    """A good document that is not signed yet, and lists more keys than one."""
    listed = {KEY.key_id: entry(PUBLIC_KEY, version)} | (keys or {})
    members: Json = {"server_name": "domain", "verify_keys": listed}
    if version == 1:
        return {**members, "tls_certificate": "AAEC"}
    return {**members, "old_verify_keys": {}, "valid_until_ts": UNTIL}


def signed(members: Json, *keys: SigningKey) -> bytes:
    """The bytes of a document that is signed by its key, or by others."""
    return encode(sign(members, DOMAIN, keys or [KEY]))


def many(count: int, version: int) -> Json:
    """So many keys more."""
    key = bytes(32)
    return {f"ed25519:m{number}": entry(key, version) for number in range(count)}


def repeated(data: bytes) -> bytes:
    """The document with a second entry for its key."""
    listed = b'"verify_keys":{'
    before, found, after = data.partition(listed)
    assert found
    first = re.match(rb'"ed25519:1":(?:"[^"]*"|\{[^}]*\}),?', after)
    assert first is not None
    return before + listed + first[0].rstrip(b",") + b"," + after


def _of_each_version(version: int) -> Iterator[tuple[str, bytes, str]]:
    good = document(version)
    yield "key ID twice", repeated(signed(good)), "a member occurs twice"
    for name, count in [
        ("101 keys", MAX_KEYS),
        ("10,000 keys", 9_999),
        ("five megabytes of keys", 80_000),
    ]:
        data = signed(document(version, many(count, version)))
        yield name, data, "the key document lists more than 100 keys"
    unknown = {"rsa:1": entry(PUBLIC_KEY, version), "ed448:a": {"x": []}}
    yield (
        "unknown algorithms only",
        signed({**good, "verify_keys": unknown}),
        "is not signed by a known key",
    )
    unsigned = encode({**good, "signatures": []})
    yield "signatures are a list", unsigned, "`signatures` is not a JSON object"
    other = signed({**good, "server_name": "other.domain"})
    yield "another server", other, "the server_name 'other.domain', not domain"
    yield "not signed", encode(good), "is not signed by a known key"
    forged = signed({**good, "forged": 0}).replace(b'"forged":0', b'"forged":1')
    yield "changed after signing", forged, "signature does not verify: ed25519:1"


def _bad_entries(version: int) -> Iterator[tuple[str, Json, str]]:
    for length in 0, 31, 33:
        said = f"key ed25519:2 has {length} bytes; ed25519 keys have 32"
        yield (
            f"key of {length} bytes",
            {"ed25519:2": entry(bytes(length), version)},
            said,
        )
    text = PUBLIC_KEY
    for name, key in [
        ("blank", text[:20] + " " + text[20:]),
        ("line break", text + "\n"),
        ("URL-safe alphabet", "-_" + text[2:]),
        ("percent sign", text[:-1] + "%"),
        ("not ASCII", text[:-1] + "\u00e9"),
        ("padding inside", text[:20] + "=" + text[20:]),
        ("one character too many", "A" * 45),
    ]:
        listed = {"ed25519:2": entry(key, version)}
        yield f"base64: {name}", listed, "not base64: "


def _of_version_2() -> Iterator[tuple[str, bytes, str]]:
    old: Json = {"key": encode_base64(bytes(32))}
    many_old = {f"ed25519:o{n}": {**old, "expired_ts": 1} for n in range(MAX_KEYS + 1)}
    yield (
        "101 old keys",
        signed({**document(2), "old_verify_keys": many_old}),
        "the key document lists more than 100 keys",
    )
    for name, time, said in [
        ("negative", -1, "is before 1970"),
        ("very negative", -(2**53) + 1, "is before 1970"),
        ("beyond canonical JSON", 2**53, "no integers beyond 2^53-1"),
        ("below canonical JSON", -(2**53), "no integers beyond 2^53-1"),
        ("of 64 bits", 2**64 - 1, "no integers beyond 2^53-1"),
        ("beyond 64 bits", 10**30, "an integer beyond 64 bits"),
        ("a float", 1.9e12, "canonical JSON has no floats"),
    ]:
        # Numbers that no program can sign are put in afterwards.
        until = signed({**document(2), "valid_until_ts": 7_777})
        yield f"end {name}", until.replace(b"7777", b"%r" % time), said
        expired: Json = {"ed25519:o": {**old, "expired_ts": 7_777}}
        data = signed({**document(2), "old_verify_keys": expired})
        if time not in {-1, -(2**53) + 1}:  # an old key of a time that can be signed
            yield f"expiry {name}", data.replace(b"7777", b"%r" % time), said


BAD_DOCUMENTS = [
    *(BadDocument(name, 1, data, said) for name, data, said in _of_each_version(1)),
    *(BadDocument(name, 2, data, said) for name, data, said in _of_each_version(2)),
    *(BadDocument(name, 2, data, said) for name, data, said in _of_version_2()),
]

BAD_ENTRIES = [
    BadDocument(name, version, signed(document(version, listed)), said)
    for version in (1, 2)
    for name, listed, said in _bad_entries(version)
]
"""Documents that are good but for one entry, which is passed over for what is said."""

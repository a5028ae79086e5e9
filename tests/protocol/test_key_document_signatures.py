"""Who must have signed a key document for it to be believed.

Rules: each signature by a listed key verifies, and there is one; keys that are listed
as old, and other servers, do not vouch.
"""

import re

import pytest

from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.errors import BadJson, ProtocolError, Unauthorized
from homeserver.protocol.key_documents import parse_v2
from tests.support.domain_keys import (
    DOCUMENT_V2,
    OLD_KEY,
    SECOND_KEY,
    VERSIONS,
    Parse,
    listing,
    signed,
)
from tests.support.signing_vectors import DOMAIN, KEY, signing_key
from tests.support.tables import cases

UNSIGNED = "the key document of domain is not signed by a known key"

BAD_SIGNATURES: list[tuple[str, object, type[ProtocolError], str]] = [
    ("none", {}, Unauthorized, UNSIGNED),
    ("none of the server", {"domain": {}}, Unauthorized, UNSIGNED),
    (
        "another algorithm",
        {"domain": {"rsa:1": "AAEC"}},
        Unauthorized,
        UNSIGNED + ": it has signatures by none; known keys: ed25519:1",
    ),
    (
        "unlisted key",
        {"domain": {"ed25519:2": encode_base64(bytes(64))}},
        Unauthorized,
        UNSIGNED + ": it has signatures by ed25519:2; known keys: ed25519:1",
    ),
    (
        "another server",
        {"a.org": {"ed25519:1": encode_base64(bytes(64))}},
        Unauthorized,
        UNSIGNED,
    ),
    (
        "wrong",
        {"domain": {"ed25519:1": encode_base64(bytes(64))}},
        Unauthorized,
        "signature does not verify: ed25519:1 over the key document of domain",
    ),
    (
        "too short",
        {"domain": {"ed25519:1": "AAEC"}},
        BadJson,
        "the signature by ed25519:1 of domain has 3 bytes",
    ),
    ("not base64", {"domain": {"ed25519:1": "*"}}, BadJson, "not base64: "),
    ("null", None, BadJson, "`signatures` is not a JSON object"),
    ("nested list", {"domain": []}, BadJson, "`signatures` of domain is not a JSON"),
]


@pytest.mark.parametrize(("parse", "document"), VERSIONS)
@cases("signatures error message", BAD_SIGNATURES)
def test_bad_signatures(
    parse: Parse,
    document: Json,
    signatures: object,
    error: type[ProtocolError],
    message: str,
) -> None:
    """A document that no key it lists has signed is refused."""
    unproven = {**document, "signatures": signatures}
    with pytest.raises(error, match=re.escape(message)):
        parse(encode(unproven), DOMAIN)


@pytest.mark.parametrize(("parse", "document"), VERSIONS)
def test_signatures_of_others_are_invalid_entries(parse: Parse, document: Json) -> None:
    """A notary's signature beside the server's own does not count as the server's."""
    changed: Json = {**document, "signatures": {"notary": {"ed25519:n": "AAEC"}}}
    parsed = parse(signed(changed, KEY), DOMAIN)
    assert parsed.signatures.keys() == {"ed25519:1"}


@pytest.mark.parametrize(("parse", "document"), VERSIONS)
def test_one_bad_signature_spoils_the_document(parse: Parse, document: Json) -> None:
    """Each signature by a listed key must verify, not any."""
    entry: object = encode_base64(SECOND_KEY.verify_key.key)
    if parse is parse_v2:
        entry = {"key": entry}
    changed: Json = {
        **listing(document, {"ed25519:2": entry}),
        "signatures": {"domain": {"ed25519:2": encode_base64(bytes(64))}},
    }
    with pytest.raises(Unauthorized, match="does not verify: ed25519:2"):
        parse(signed(changed, KEY), DOMAIN)


def test_listed_key_need_not_have_signed() -> None:
    """A document may list a key that has not signed it, if another one has."""
    changed = listing(
        DOCUMENT_V2, {"ed25519:2": {"key": encode_base64(SECOND_KEY.verify_key.key)}}
    )
    parsed = parse_v2(signed(changed, KEY), DOMAIN)
    assert parsed.verify_keys.keys() == {"ed25519:1", "ed25519:2"}
    assert parsed.signatures.keys() == {"ed25519:1"}


def test_old_key_does_not_vouch_for_the_document() -> None:
    """The signature of a key that is listed only as old is not enough."""
    old: Json = {
        "ed25519:0": {"expired_ts": 1, "key": encode_base64(OLD_KEY.verify_key.key)}
    }
    with pytest.raises(Unauthorized, match=UNSIGNED):
        parse_v2(signed({**DOCUMENT_V2, "old_verify_keys": old}, OLD_KEY), DOMAIN)


@pytest.mark.parametrize(("parse", "document"), VERSIONS)
def test_who_signed(parse: Parse, document: Json) -> None:
    """A key signed a document that has its own signature, whether it is listed or not.

    The signature of another key with the same ID is not its own.
    """
    parsed = parse(signed(document, KEY, OLD_KEY), DOMAIN)
    assert OLD_KEY.key_id not in parsed.verify_keys
    impostor = signing_key(b"9" * 32, "ed25519:0")
    keys = [KEY, OLD_KEY, SECOND_KEY, impostor]
    signers = [key for key in keys if parsed.is_signed_by(key.verify_key)]
    assert signers == [KEY, OLD_KEY]

"""Key documents that are refused, each with a sentence that says why."""

import pytest

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.key_documents import build_v1, build_v2, parse_v1, parse_v2
from homeserver.protocol.key_entries import MAX_KEYS
from tests.support.bad_key_documents import (
    BAD_DOCUMENTS,
    BAD_ENTRIES,
    DOMAIN,
    KEY,
    PUBLIC_KEY,
    UNTIL,
    BadDocument,
    document,
    entry,
    many,
    signed,
)
from tests.support.key_documents import signing_key

PARSE = {1: parse_v1, 2: parse_v2}


@pytest.mark.parametrize("bad", BAD_DOCUMENTS, ids=str)
def test_bad_document(bad: BadDocument) -> None:
    """A document that breaks a rule is refused, and it is said which rule."""
    with pytest.raises(ProtocolError) as caught:
        PARSE[bad.version](bad.data, DOMAIN)
    said = str(caught.value)
    assert bad.said in said
    # One sentence, and not the peer's megabytes.
    assert len(said) < 300
    assert said.isprintable()


@pytest.mark.parametrize("bad", BAD_ENTRIES, ids=str)
def test_bad_entry(bad: BadDocument) -> None:
    """A document with one bad entry is taken without it, and it is said which rule."""
    parsed = PARSE[bad.version](bad.data, DOMAIN)
    assert parsed.verify_keys == {KEY.key_id: KEY.verify_key}
    [(key_id, said)] = parsed.invalid_entries.items()
    assert key_id == "ed25519:2"
    assert bad.said in said
    assert len(said) < 300
    assert said.isprintable()


@pytest.mark.parametrize("version", PARSE)
def test_the_table_is_of_documents_that_would_be_good(version: int) -> None:
    """The document that the bad ones are made from is taken."""
    parsed = PARSE[version](signed(document(version)), DOMAIN)
    assert parsed.verify_keys == {KEY.key_id: KEY.verify_key}


@pytest.mark.parametrize("version", PARSE)
def test_a_hundred_keys(version: int) -> None:
    """A document may list a hundred keys, and as many old ones."""
    members = document(version, many(MAX_KEYS - 1, version))
    if version == 2:
        old = {"key": PUBLIC_KEY, "expired_ts": 1}
        members["old_verify_keys"] = {f"ed25519:o{n}": old for n in range(MAX_KEYS)}
    parsed = PARSE[version](signed(members), DOMAIN)
    assert len(parsed.verify_keys) == MAX_KEYS
    assert len(parsed.old_verify_keys) == MAX_KEYS * (version - 1)


@pytest.mark.parametrize("time", [0, 1, 2**53 - 1])
def test_times_that_are_times(time: int) -> None:
    """All times that canonical JSON can write are taken, the first and the last too."""
    old = {"key": encode_base64(bytes(32)), "expired_ts": time}
    members = {
        **document(2),
        "valid_until_ts": time,
        "old_verify_keys": {"ed25519:o": old},
    }
    parsed = parse_v2(signed(members), DOMAIN)
    assert parsed.valid_until_ts == time
    assert parsed.old_verify_keys[KeyId("ed25519:o")].expired_ts == time


@pytest.mark.parametrize("version", PARSE)
@pytest.mark.parametrize("padding", ["=", "=="])
def test_padding_is_read(padding: str, version: int) -> None:
    """A key whose base64 is padded is the same key, also if it is padded wrongly."""
    other = signing_key(KeyId("ed25519:2"))
    text = encode_base64(other.verify_key.key) + padding
    parsed = PARSE[version](
        signed(document(version, {other.key_id: entry(text, version)})), DOMAIN
    )
    assert parsed.verify_keys[other.key_id] == other.verify_key


@pytest.mark.parametrize("length", range(1, 4))
def test_padding_is_not_written(length: int) -> None:
    """No base64 of ours has padding, whatever it is of."""
    keys = [KEY, signing_key(KeyId("ed25519:2"))]
    for built in (
        build_v1(DOMAIN, b"\xff" * length, keys),
        build_v2(DOMAIN, keys, [], UNTIL),
    ):
        assert "=" not in str(built)

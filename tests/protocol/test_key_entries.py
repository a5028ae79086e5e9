"""The entries of a key document: which are read, and which are passed over.

Rules: a bad entry does not cost the document, and the rule that it breaks is told; keys
of other algorithms are not read.
"""

from typing import cast

import pytest

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.key_documents import parse_v1, parse_v2
from tests.support.domain_keys import (
    DOCUMENT_V1,
    DOCUMENT_V2,
    VERSIONS,
    Parse,
    listing,
    signed,
)
from tests.support.signing_vectors import DOMAIN, KEY, PUBLIC_KEY
from tests.support.tables import cases

SHORT_KEY = encode_base64(bytes(31))

OLD_ENTRY: Json = {"key": PUBLIC_KEY, "expired_ts": 1}

# Each is an entry that breaks a rule, by the member that it stands in.
BAD_ENTRIES: list[tuple[str, Parse, str, object, str]] = [
    (
        "v1 of version 2",
        parse_v1,
        "verify_keys",
        {"key": PUBLIC_KEY},
        "key ed25519:3 of `verify_keys` is not a string",
    ),
    (
        "v2 of version 1",
        parse_v2,
        "verify_keys",
        PUBLIC_KEY,
        "key ed25519:3 is not a JSON object",
    ),
    ("v2 empty", parse_v2, "verify_keys", {}, "`key` of ed25519:3 is missing"),
    (
        "v2 number",
        parse_v2,
        "verify_keys",
        {"key": 1},
        "`key` of ed25519:3 is not a string",
    ),
    (
        "old: text",
        parse_v2,
        "old_verify_keys",
        PUBLIC_KEY,
        "old key ed25519:3 is not a JSON object",
    ),
    (
        "old: without its end",
        parse_v2,
        "old_verify_keys",
        {"key": PUBLIC_KEY},
        "`expired_ts` of ed25519:3 is missing",
    ),
    (
        "old: end is a text",
        parse_v2,
        "old_verify_keys",
        {**OLD_ENTRY, "expired_ts": "1"},
        "`expired_ts` of ed25519:3 is not an integer",
    ),
    (
        "old: end is before 1970",
        parse_v2,
        "old_verify_keys",
        {**OLD_ENTRY, "expired_ts": -1},
        "`expired_ts` of ed25519:3 is before 1970",
    ),
    (
        "old: without a key",
        parse_v2,
        "old_verify_keys",
        {"expired_ts": 1},
        "`key` of ed25519:3 is missing",
    ),
    (
        "old: of 31 bytes",
        parse_v2,
        "old_verify_keys",
        {**OLD_ENTRY, "key": SHORT_KEY},
        "key ed25519:3 has 31 bytes",
    ),
]


@cases("parse member entry rule", BAD_ENTRIES)
def test_a_bad_entry_does_not_cost_the_document(
    parse: Parse, member: str, entry: object, rule: str
) -> None:
    """An entry that breaks a rule is passed over, and the rule is told."""
    document = DOCUMENT_V1 if parse is parse_v1 else DOCUMENT_V2
    listed = cast("Json", document[member])
    changed: Json = {**document, member: {**listed, "ed25519:3": entry}}
    parsed = parse(signed(changed, KEY), DOMAIN)
    assert parsed.verify_keys == {KEY.key_id: KEY.verify_key}
    assert parsed.old_verify_keys == {}
    assert parsed.invalid_entries.keys() == {"ed25519:3"}
    assert rule in parsed.invalid_entries["ed25519:3"]


@pytest.mark.parametrize("text", ["ed25519:a-b", "ed25519:", "ed25519:a:b", "auto", ""])
@pytest.mark.parametrize(("parse", "document"), VERSIONS)
def test_a_bad_key_id_is_named_with_the_rule(
    parse: Parse, document: Json, text: str
) -> None:
    """A key whose ID breaks the grammar is passed over, and the grammar is told."""
    entry = cast("Json", document["verify_keys"])["ed25519:1"]
    parsed = parse(signed(listing(document, {text: entry}), KEY), DOMAIN)
    assert parsed.invalid_entries == {
        text: f"not a key ID: {text!r} is not `ed25519:` followed by letters, digits "
        "and underscores"
    }
    only: Json = {**document, "verify_keys": {text: entry}}
    with pytest.raises(Unauthorized) as caught:
        parse(signed(only, KEY), DOMAIN)
    assert str(caught.value).endswith(
        f"known keys: none; {text!r} is ignored: {parsed.invalid_entries[text]}"
    )


def test_an_old_entry_in_place_of_a_bad_one() -> None:
    """A key whose current entry is passed over may be listed as an old one."""
    document = listing(DOCUMENT_V2, {"ed25519:3": {"key": SHORT_KEY}})
    document["old_verify_keys"] = {"ed25519:3": OLD_ENTRY}
    parsed = parse_v2(signed(document, KEY), DOMAIN)
    assert parsed.old_verify_keys.keys() == {"ed25519:3"}


@pytest.mark.parametrize(("parse", "document"), VERSIONS)
def test_unknown_algorithms_are_ignored(parse: Parse, document: Json) -> None:
    """Keys of another algorithm are not read, whatever their shape."""
    changed = listing(document, {"rsa:1": 5, "ed448:a-b": {"key": []}, "x:\n": None})
    parsed = parse(signed(changed, KEY), DOMAIN)
    assert parsed.verify_keys == {KEY.key_id: KEY.verify_key}
    assert parsed.invalid_entries == {}


@pytest.mark.parametrize("entry", [{"key": PUBLIC_KEY, "expired_ts": 1}, None, "x"])
def test_a_key_that_is_in_use_is_not_old(entry: object) -> None:
    """Of a key that is listed as current and as old, only the first is read."""
    document: Json = {**DOCUMENT_V2, "old_verify_keys": {"ed25519:1": entry}}
    parsed = parse_v2(signed(document, KEY), DOMAIN)
    assert parsed.verify_keys == {KEY.key_id: KEY.verify_key}
    assert parsed.old_verify_keys == {}


def test_old_keys_may_be_absent() -> None:
    """A version 2 document without `old_verify_keys` has none."""
    document = {k: v for k, v in DOCUMENT_V2.items() if k != "old_verify_keys"}
    assert parse_v2(signed(document, KEY), DOMAIN).old_verify_keys == {}


def test_old_keys_of_unknown_algorithms_are_ignored() -> None:
    """Old keys of another algorithm are not read, whatever their shape."""
    document: Json = {**DOCUMENT_V2, "old_verify_keys": {"rsa:1": 5}}
    assert parse_v2(signed(document, KEY), DOMAIN).old_verify_keys == {}

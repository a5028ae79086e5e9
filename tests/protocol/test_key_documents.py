"""Key documents of both versions: how they are built, read and for how long believed.

Rules: what was built is read again; a document of another shape is refused, however
well it is signed, and by nothing but a ProtocolError.
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import (
    OldVerifyKey,
    build_v1,
    build_v2,
    parse_v1,
    parse_v2,
    valid_until,
)
from homeserver.protocol.signing import SigningKey
from tests.support.domain_keys import (
    CERTIFICATE,
    DOCUMENT_V1,
    DOCUMENT_V2,
    VALID_UNTIL_TS,
    VERSIONS,
    Parse,
    signed,
)
from tests.support.signing_vectors import DOMAIN, KEY, PUBLIC_KEY, signing_key
from tests.support.tables import cases

# Both were computed with an independent library.
SIGNATURE_V1 = (
    "zw/CSsi7FKmO2XcAHb79PktAq78pzEBsDCch2FTXKjFyXcJUnglvExXoObpTUTzg"
    "W/vAx/r/cIkFZ2hQRV2UBA"
)

SIGNATURE_V2 = (
    "FGoX7oBz36Xr5gZoCR7HSq2FtzDErzcUj0qWuPVA6XtQjT7TFP6ASqj4RJawsHF5"
    "EaV2tLUd6bBZ+yn4qYEIDw"
)


def test_build_v1_vector() -> None:
    """The version 1 document has the signature that is known for it."""
    assert build_v1(DOMAIN, CERTIFICATE, [KEY]) == {
        **DOCUMENT_V1,
        "signatures": {"domain": {"ed25519:1": SIGNATURE_V1}},
    }


def test_build_v2_vector() -> None:
    """The version 2 document has the signature that is known for it."""
    assert build_v2(DOMAIN, [KEY], [], VALID_UNTIL_TS) == {
        **DOCUMENT_V2,
        "signatures": {"domain": {"ed25519:1": SIGNATURE_V2}},
    }


SEEDS = st.binary(min_size=32, max_size=32)
KEYS = st.dictionaries(
    st.from_regex(r"ed25519:[a-zA-Z0-9_]{1,8}", fullmatch=True), SEEDS, max_size=3
).map(lambda seeds: [signing_key(seed, key_id) for key_id, seed in seeds.items()])
TIMES = st.integers(0, 2**53 - 1)
OLD_KEYS = KEYS.flatmap(
    lambda keys: st.tuples(
        *(st.builds(OldVerifyKey, st.just(key.verify_key), TIMES) for key in keys)
    )
)
SERVER_NAMES = st.sampled_from(["domain", "a.org:8448", "[::1]"]).map(ServerName.parse)


@given(SERVER_NAMES, st.binary(), KEYS.filter(bool))
def test_parse_v1_undoes_build_v1(
    server_name: ServerName, certificate: bytes, keys: list[SigningKey]
) -> None:
    """A version 1 document that was built is read as what it was built of."""
    built = build_v1(server_name, certificate, keys)
    parsed = parse_v1(encode(built), server_name)
    assert parsed.server_name == server_name
    assert parsed.tls_certificate == certificate
    assert parsed.verify_keys == {key.key_id: key.verify_key for key in keys}
    assert parsed.signatures.keys() == parsed.verify_keys.keys()
    assert parsed.document == built


@given(SERVER_NAMES, KEYS.filter(bool), OLD_KEYS, TIMES)
def test_parse_v2_undoes_build_v2(
    server_name: ServerName,
    keys: list[SigningKey],
    old_keys: tuple[OldVerifyKey, ...],
    valid_until_ts: int,
) -> None:
    """A version 2 document that was built is read as what it was built of."""
    built = build_v2(server_name, keys, old_keys, valid_until_ts)
    parsed = parse_v2(encode(built), server_name)
    assert parsed.server_name == server_name
    assert parsed.verify_keys == {key.key_id: key.verify_key for key in keys}
    assert parsed.old_verify_keys == {
        old.verify_key.key_id: old
        for old in old_keys
        if old.verify_key.key_id not in parsed.verify_keys
    }
    assert parsed.valid_until_ts == valid_until_ts
    assert parsed.signatures.keys() == parsed.verify_keys.keys()
    assert parsed.document == built


def test_keys_may_come_from_an_iterator() -> None:
    """Keys that can be gone through only once are both listed and signed with."""
    assert parse_v1(encode(build_v1(DOMAIN, b"", iter([KEY]))), DOMAIN).verify_keys
    assert parse_v2(encode(build_v2(DOMAIN, iter([KEY]), [], 1)), DOMAIN).verify_keys


NO_DOCUMENTS: list[tuple[str, bytes, type[ProtocolError], str]] = [
    ("empty", b"", NotJson, "not JSON: "),
    ("HTML", b"<!DOCTYPE html>", NotJson, "not JSON: "),
    ("list", b"[]", BadJson, "the body is not a JSON object"),
    ("null", b"null", BadJson, "the body is not a JSON object"),
    ("no members", b"{}", BadJson, "`server_name` is missing"),
]


@pytest.mark.parametrize("parse", [parse_v1, parse_v2])
@cases("data error message", NO_DOCUMENTS)
def test_no_document(
    parse: Parse, data: bytes, error: type[ProtocolError], message: str
) -> None:
    """What is no JSON object that speaks for the server is refused."""
    with pytest.raises(error, match=re.escape(message)):
        parse(data, DOMAIN)


ABSENT = object()
"""Stands in the tables for a member that is left out."""

CALLED = "has the server_name"

BAD_DOCUMENTS: list[tuple[str, Json, str]] = [
    ("upper case", {"server_name": "DOMAIN"}, f"{CALLED} 'DOMAIN', not domain"),
    ("with a port", {"server_name": "domain:1"}, f"{CALLED} 'domain:1', not domain"),
    ("name is a list", {"server_name": ["domain"]}, f'{CALLED} ["domain"], not domain'),
    ("name is null", {"server_name": None}, f"{CALLED} null, not domain"),
    ("float", {"x": 1.5}, "canonical JSON has no floats: 1.5"),
    ("float in unsigned", {"unsigned": {"x": [1.5]}}, "canonical JSON has no floats"),
    ("no keys", {"verify_keys": ABSENT}, "`verify_keys` is missing"),
    ("keys are a list", {"verify_keys": []}, "`verify_keys` is not a JSON object"),
]

BAD_DOCUMENTS_V1: list[tuple[str, Json, str]] = [
    *BAD_DOCUMENTS,
    (
        "no certificate",
        {"tls_certificate": ABSENT},
        "`tls_certificate` is missing",
    ),
    ("certificate is PEM", {"tls_certificate": "-----BEGIN"}, "not base64: "),
    ("certificate is wrapped", {"tls_certificate": "AA\nEC"}, "not base64: "),
]

BAD_DOCUMENTS_V2: list[tuple[str, Json, str]] = [
    *BAD_DOCUMENTS,
    (
        "old keys are a list",
        {"old_verify_keys": []},
        "`old_verify_keys` is not a JSON object",
    ),
    ("no end", {"valid_until_ts": ABSENT}, "`valid_until_ts` is missing"),
    ("end is null", {"valid_until_ts": None}, "`valid_until_ts` is not an integer"),
    ("end is a text", {"valid_until_ts": "1"}, "`valid_until_ts` is not an integer"),
    ("end is a boolean", {"valid_until_ts": True}, "`valid_until_ts` is not an int"),
]


@pytest.mark.parametrize(
    ("parse", "document", "changes", "message"),
    [
        *(
            pytest.param(parse_v1, DOCUMENT_V1, changes, message, id=f"v1 {name}")
            for name, changes, message in BAD_DOCUMENTS_V1
        ),
        *(
            pytest.param(parse_v2, DOCUMENT_V2, changes, message, id=f"v2 {name}")
            for name, changes, message in BAD_DOCUMENTS_V2
        ),
    ],
)
def test_bad_document(
    parse: Parse, document: Json, changes: Json, message: str
) -> None:
    """A document of another shape is refused, however well it is signed."""
    changed: Json = {
        name: member
        for name, member in {**document, **changes}.items()
        if member is not ABSENT
    }
    with pytest.raises(BadJson, match=re.escape(message)):
        parse(signed(changed, KEY), DOMAIN)


@pytest.mark.parametrize(("parse", "document"), VERSIONS)
def test_unknown_members_are_kept(parse: Parse, document: Json) -> None:
    """A member of another time, signed with the rest, does no harm and is kept."""
    changed: Json = {**document, "tls_fingerprints": [{"sha256": "AAEC"}]}
    parsed = parse(signed(changed, KEY), DOMAIN)
    assert parsed.document["tls_fingerprints"] == [{"sha256": "AAEC"}]


def test_versions_are_not_mistaken_for_each_other() -> None:
    """A document of one version is none of the other."""
    with pytest.raises(BadJson, match="`tls_certificate` is missing"):
        parse_v1(signed(DOCUMENT_V2, KEY), DOMAIN)
    with pytest.raises(BadJson, match="`valid_until_ts` is missing"):
        parse_v2(signed(DOCUMENT_V1, KEY), DOMAIN)


NOW_TS = 1_600_000_000_000
SEVEN_DAYS = 604_800_000

VALIDITIES: list[tuple[str, int, int]] = [
    ("an hour", NOW_TS + 3_600_000, NOW_TS + 3_600_000),
    ("seven days", NOW_TS + SEVEN_DAYS, NOW_TS + SEVEN_DAYS),
    ("more than seven days", NOW_TS + SEVEN_DAYS + 1, NOW_TS + SEVEN_DAYS),
    ("for ever", 2**53 - 1, NOW_TS + SEVEN_DAYS),
    ("no more", NOW_TS - 1, NOW_TS - 1),
]


@cases("valid_until_ts expected", VALIDITIES)
def test_valid_until_v2(valid_until_ts: int, expected: int) -> None:
    """A document is valid as long as it says, and at most seven days from now."""
    built = build_v2(DOMAIN, [KEY], [], valid_until_ts)
    assert valid_until(parse_v2(encode(built), DOMAIN), NOW_TS) == expected


def test_valid_until_v1() -> None:
    """A document without an end is valid for seven days."""
    parsed = parse_v1(signed(DOCUMENT_V1, KEY), DOMAIN)
    assert valid_until(parsed, NOW_TS) == NOW_TS + SEVEN_DAYS


SHAPES = st.recursive(
    st.none() | st.integers(-5, 5) | st.sampled_from([PUBLIC_KEY, "domain", "*"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["domain", "ed25519:1", "rsa:1", "key", "expired_ts"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
MEMBERS = st.dictionaries(
    st.sampled_from(
        ["tls_certificate", "verify_keys", "old_verify_keys", "valid_until_ts"]
    ),
    SHAPES,
)


@pytest.mark.parametrize(("parse", "document"), VERSIONS)
@given(changes=MEMBERS, signatures=SHAPES)
def test_nothing_but_a_protocol_error_is_raised(
    parse: Parse, document: Json, changes: Json, signatures: object
) -> None:
    """A document of any shape that no one signed is refused, never stumbled over."""
    with pytest.raises(ProtocolError):
        parse(encode({**document, **changes, "signatures": signatures}), DOMAIN)

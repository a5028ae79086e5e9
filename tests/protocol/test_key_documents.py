"""Key documents of both versions: which are believed, and why the others are not."""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import cast

import nacl.signing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import (
    Json,
    decode_base64,
    encode,
    encode_base64,
)
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError, Unauthorized
from homeserver.protocol.identifiers import ServerName, parse_key_id
from homeserver.protocol.key_documents import (
    KeyDocument,
    OldVerifyKey,
    build_v1,
    build_v2,
    parse_v1,
    parse_v2,
    valid_until,
)
from homeserver.protocol.signing import SigningKey, sign
from tests.support.tables import cases

DOMAIN = ServerName.parse("domain")


def signing_key(seed: bytes, key_id: str) -> SigningKey:
    """The signing key that grows from 32 bytes."""
    return SigningKey(parse_key_id(key_id), nacl.signing.SigningKey(seed))


# Appendices, "Cryptographic Test Vectors": the seed and the ID of the key.
KEY = signing_key(
    decode_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"), "ed25519:1"
)
PUBLIC_KEY = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
SECOND_KEY = signing_key(b"2" * 32, "ed25519:2")
OLD_KEY = signing_key(b"0" * 32, "ed25519:0")

CERTIFICATE = b"\x00\x01\x02"
VALID_UNTIL_TS = 1652262000000

# The signatures below were computed with an independent library.
DOCUMENT_V1: Json = {
    "server_name": "domain",
    "tls_certificate": "AAEC",
    "verify_keys": {"ed25519:1": PUBLIC_KEY},
}
SIGNATURE_V1 = (
    "zw/CSsi7FKmO2XcAHb79PktAq78pzEBsDCch2FTXKjFyXcJUnglvExXoObpTUTzg"
    "W/vAx/r/cIkFZ2hQRV2UBA"
)
DOCUMENT_V2: Json = {
    "old_verify_keys": {},
    "server_name": "domain",
    "valid_until_ts": VALID_UNTIL_TS,
    "verify_keys": {"ed25519:1": {"key": PUBLIC_KEY}},
}
SIGNATURE_V2 = (
    "FGoX7oBz36Xr5gZoCR7HSq2FtzDErzcUj0qWuPVA6XtQjT7TFP6ASqj4RJawsHF5"
    "EaV2tLUd6bBZ+yn4qYEIDw"
)

Parse = Callable[[bytes, ServerName], KeyDocument]

VERSIONS = [
    pytest.param(parse_v1, DOCUMENT_V1, id="v1"),
    pytest.param(parse_v2, DOCUMENT_V2, id="v2"),
]


def signed(document: Json, *keys: SigningKey) -> bytes:
    """The bytes of a document, signed as `domain` with the given keys."""
    return encode(sign(document, DOMAIN, keys))


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
    ("no members", b"{}", BadJson, "has the server_name null, not domain"),
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

SHORT_KEY = encode_base64(bytes(31))
CALLED = "has the server_name"

BAD_DOCUMENTS: list[tuple[str, Json, str]] = [
    ("upper case", {"server_name": "DOMAIN"}, f"{CALLED} 'DOMAIN', not domain"),
    ("with a port", {"server_name": "domain:1"}, f"{CALLED} 'domain:1', not domain"),
    ("name is a list", {"server_name": ["domain"]}, f'{CALLED} ["domain"], not domain'),
    ("name is null", {"server_name": None}, f"{CALLED} null, not domain"),
    ("float", {"x": 1.5}, "canonical JSON has no floats: 1.5"),
    ("float in unsigned", {"unsigned": {"x": [1.5]}}, "canonical JSON has no floats"),
    ("no keys", {"verify_keys": ABSENT}, "`verify_keys` is not a JSON object"),
    ("keys are a list", {"verify_keys": []}, "`verify_keys` is not a JSON object"),
]

BAD_DOCUMENTS_V1: list[tuple[str, Json, str]] = [
    *BAD_DOCUMENTS,
    (
        "no certificate",
        {"tls_certificate": ABSENT},
        "`tls_certificate` is not a string",
    ),
    ("certificate is PEM", {"tls_certificate": "-----BEGIN"}, "not base64: "),
    ("certificate is wrapped", {"tls_certificate": "AA\nEC"}, "not base64: "),
]

OLD_ENTRY: Json = {"key": PUBLIC_KEY, "expired_ts": 1}

BAD_DOCUMENTS_V2: list[tuple[str, Json, str]] = [
    *BAD_DOCUMENTS,
    (
        "old keys are a list",
        {"old_verify_keys": []},
        "`old_verify_keys` is not a JSON object",
    ),
    ("no end", {"valid_until_ts": ABSENT}, "`valid_until_ts` is not an integer"),
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
    ("v2 empty", parse_v2, "verify_keys", {}, "`key` of ed25519:3 is not a string"),
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
        "`expired_ts` of ed25519:3 is not an integer",
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
        "`key` of ed25519:3 is not a string",
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
def test_unknown_members_are_kept(parse: Parse, document: Json) -> None:
    """A member of another time, signed with the rest, does no harm and is kept."""
    changed: Json = {**document, "tls_fingerprints": [{"sha256": "AAEC"}]}
    parsed = parse(signed(changed, KEY), DOMAIN)
    assert parsed.document["tls_fingerprints"] == [{"sha256": "AAEC"}]


@pytest.mark.parametrize(("parse", "document"), VERSIONS)
def test_signatures_of_others_are_invalid_entries(parse: Parse, document: Json) -> None:
    """A notary's signature beside the server's own does not count as the server's."""
    changed: Json = {**document, "signatures": {"notary": {"ed25519:n": "AAEC"}}}
    parsed = parse(signed(changed, KEY), DOMAIN)
    assert parsed.signatures.keys() == {"ed25519:1"}


def listing(document: Json, entries: Json) -> Json:
    """The document with more entries under `verify_keys`."""
    listed = cast("Json", document["verify_keys"])
    return {**document, "verify_keys": listed | entries}


@pytest.mark.parametrize(("parse", "document"), VERSIONS)
def test_unknown_algorithms_are_ignored(parse: Parse, document: Json) -> None:
    """Keys of another algorithm are not read, whatever their shape."""
    changed = listing(document, {"rsa:1": 5, "ed448:a-b": {"key": []}, "x:\n": None})
    parsed = parse(signed(changed, KEY), DOMAIN)
    assert parsed.verify_keys == {KEY.key_id: KEY.verify_key}
    assert parsed.invalid_entries == {}


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


def test_fingerprints() -> None:
    """A version 2 document names the certificates that it was built for."""
    built = build_v2(DOMAIN, [KEY], [], 1, [CERTIFICATE, b"another"])
    assert built["tls_fingerprints"] == [
        {"sha256": encode_base64(sha256(each).digest())}
        for each in (CERTIFICATE, b"another")
    ]
    parsed = parse_v2(encode(built), DOMAIN)
    assert parsed.names_certificate(CERTIFICATE)
    assert parsed.names_certificate(b"another")
    assert not parsed.names_certificate(b"a third")


def test_no_fingerprints() -> None:
    """A version 2 document without fingerprints names no certificate."""
    parsed = parse_v2(signed(DOCUMENT_V2, KEY), DOMAIN)
    assert not parsed.names_certificate(CERTIFICATE)
    assert not parsed.names_certificate(b"")


def test_version_1_names_its_certificate() -> None:
    """A version 1 document names one certificate, whatever else is in it."""
    fingerprint = encode_base64(sha256(b"another").digest())
    document = {**DOCUMENT_V1, "tls_fingerprints": [{"sha256": fingerprint}]}
    parsed = parse_v1(signed(document, KEY), DOMAIN)
    assert parsed.names_certificate(CERTIFICATE)
    assert not parsed.names_certificate(b"another")


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        "x",
        {"sha256": "x"},
        [],
        [5, None, "x", []],
        [{}],
        [{"sha256": 5}],
        [{"sha256": "*"}],
        [{"sha1": encode_base64(sha256(CERTIFICATE).digest())}],
        [{"sha256": sha256(CERTIFICATE).hexdigest()}],
    ],
)
def test_fingerprints_of_another_shape(bad: object) -> None:
    """What are no fingerprints name no certificate, and do not cost the document."""
    parsed = parse_v2(signed({**DOCUMENT_V2, "tls_fingerprints": bad}, KEY), DOMAIN)
    assert not parsed.names_certificate(CERTIFICATE)
    if isinstance(bad, list):
        good = {"sha256": encode_base64(sha256(CERTIFICATE).digest())}
        document = {**DOCUMENT_V2, "tls_fingerprints": [*bad, good]}
        assert parse_v2(signed(document, KEY), DOMAIN).names_certificate(CERTIFICATE)


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


def test_versions_are_not_mistaken_for_each_other() -> None:
    """A document of one version is none of the other."""
    with pytest.raises(BadJson, match="`tls_certificate` is not a string"):
        parse_v1(signed(DOCUMENT_V2, KEY), DOMAIN)
    with pytest.raises(BadJson, match="`valid_until_ts` is not an integer"):
        parse_v2(signed(DOCUMENT_V1, KEY), DOMAIN)


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

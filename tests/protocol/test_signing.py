"""Signatures, held against the specification's examples and against signedjson.

Rules: what is signed is canonical JSON without `signatures` and `unsigned`. Signatures
of another shape are refused, by nothing but a ProtocolError.
"""

import copy
import re
from typing import cast

import pytest
import signedjson.key
import signedjson.sign
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json, decode_base64, encode_base64
from homeserver.protocol.errors import BadJson, ProtocolError
from homeserver.protocol.signing import (
    POLICY_KEY_ID,
    VerifyKey,
    event_signatures,
    parse_signatures,
    sign,
    signed_bytes,
    verify,
)
from tests.support.signing_vectors import (
    DOMAIN,
    KEY,
    OTHER_KEY,
    PUBLIC_KEY,
    SEEDS,
    SIGNATURE_OF_EMPTY,
    VECTORS,
    keys,
    signature_texts,
    signing_key,
)
from tests.support.tables import cases


def test_public_key_vector() -> None:
    """The public key that belongs to the specification's seed is the known one."""
    assert encode_base64(KEY.verify_key.key) == PUBLIC_KEY
    assert KEY.verify_key.key_id == "ed25519:1"


@pytest.mark.parametrize(("value", "signature"), VECTORS)
def test_sign_vector(value: Json, signature: str) -> None:
    """An example of the specification gets the signature that is written there."""
    assert sign(value, DOMAIN, [KEY]) == {
        **value,
        "signatures": {"domain": {"ed25519:1": signature}},
    }


def test_signing_key_is_not_shown() -> None:
    """The text of a signing key does not hold the key."""
    assert repr(KEY) == "SigningKey(key_id='ed25519:1')"


BAD_KEYS: list[tuple[str, str, str]] = [
    ("31 bytes", encode_base64(bytes(31)), "key ed25519:1 has 31 bytes"),
    ("33 bytes", encode_base64(bytes(33)), "key ed25519:1 has 33 bytes"),
    ("empty", "", "key ed25519:1 has 0 bytes"),
    ("not base64", "*" * 43, "not base64"),
]


@cases("text message", BAD_KEYS)
def test_bad_verify_key(text: str, message: str) -> None:
    """A verify key that is not 32 bytes in base64 is refused."""
    with pytest.raises(BadJson, match=message):
        VerifyKey.parse(KEY.key_id, text)


def test_signed_bytes() -> None:
    """What is signed is canonical JSON without `signatures` and `unsigned`."""
    value: Json = {"b": 1, "a": {"unsigned": 2}, "unsigned": {"c": 3}, "signatures": {}}
    assert signed_bytes(value) == b'{"a":{"unsigned":2},"b":1}'


def test_sign_keeps_the_signatures_there_are() -> None:
    """Signatures of others, and of the same server's other keys, stay."""
    signed = sign(
        {"signatures": {"a.org": {"ed25519:x": "X"}, "domain": {"ed25519:y": "Y"}}},
        DOMAIN,
        [KEY],
    )
    assert signature_texts(signed, "a.org") == {"ed25519:x": "X"}
    assert signature_texts(signed) == {
        "ed25519:y": "Y",
        "ed25519:1": SIGNATURE_OF_EMPTY,
    }


def test_sign_replaces_a_signature_by_the_same_key() -> None:
    """A key has one signature of an object: the last."""
    signed = sign({"signatures": {"domain": {"ed25519:1": "old"}}}, DOMAIN, [KEY])
    assert signature_texts(signed) == {"ed25519:1": SIGNATURE_OF_EMPTY}


def test_sign_with_several_keys() -> None:
    """Each key signs the same bytes."""
    signed = sign({}, DOMAIN, [KEY, OTHER_KEY])
    assert signature_texts(signed) == {
        "ed25519:1": SIGNATURE_OF_EMPTY,
        "ed25519:2": encode_base64(OTHER_KEY.sign(b"{}")),
    }


def test_sign_keeps_unsigned_and_does_not_sign_it() -> None:
    """What is `unsigned` stays, and the signature is the same as without it."""
    signed = sign({"unsigned": {"age_ts": 1}}, DOMAIN, [KEY])
    assert signed["unsigned"] == {"age_ts": 1}
    assert signature_texts(signed) == {"ed25519:1": SIGNATURE_OF_EMPTY}


def test_sign_does_not_modify_its_argument() -> None:
    """The object that was given is the same after signing, at every depth."""
    value: Json = {
        "a": [1],
        "signatures": {"a.org": {"ed25519:x": "X"}, "domain": {"ed25519:y": "Y"}},
        "unsigned": {"age_ts": 1},
    }
    before = copy.deepcopy(value)
    sign(value, DOMAIN, [KEY])
    assert value == before


BAD_SHAPES: list[tuple[str, object]] = [
    ("list", []),
    ("number", 5),
    ("text", "domain"),
    ("null", None),
    ("server has a list", {"domain": []}),
    ("server has a text", {"domain": "ed25519:1"}),
    ("server has null", {"domain": None}),
]


@cases("signatures", BAD_SHAPES)
def test_sign_refuses_signatures_of_another_shape(signatures: object) -> None:
    """An object whose `signatures` cannot be added to is not signed."""
    with pytest.raises(BadJson, match=r"^`signatures`.* is not a JSON object$"):
        sign({"signatures": signatures}, DOMAIN, [KEY])


@cases("signatures", BAD_SHAPES)
def test_signatures_of_another_shape(signatures: object) -> None:
    """An object whose `signatures` have another shape is refused."""
    with pytest.raises(BadJson, match=r"^`signatures`.* is not a JSON object$"):
        parse_signatures({"signatures": signatures}, DOMAIN)


BAD_SIGNATURES: list[tuple[str, object, str]] = [
    ("null", None, "the signature by ed25519:1 of domain is not a string"),
    ("number", 5, "the signature by ed25519:1 of domain is not a string"),
    ("object", {}, "the signature by ed25519:1 of domain is not a string"),
    ("not base64", "*" * 86, "not base64: "),
    ("empty", "", "the signature by ed25519:1 of domain has 0 bytes"),
    (
        "63 bytes",
        encode_base64(bytes(63)),
        "the signature by ed25519:1 of domain has 63 bytes",
    ),
    (
        "65 bytes",
        encode_base64(bytes(65)),
        "the signature by ed25519:1 of domain has 65 bytes",
    ),
]


@cases("signature message", BAD_SIGNATURES)
def test_bad_signature(signature: object, message: str) -> None:
    """A signature by a known key that is not 64 bytes in base64 is refused.

    One by another key is passed over, whatever it is.
    """
    value = sign({}, DOMAIN, [OTHER_KEY])
    signature_texts(value)["ed25519:1"] = cast("str", signature)
    found = parse_signatures(value, DOMAIN)
    assert verify(b"{}", found, keys(OTHER_KEY), "it") == {"ed25519:2"}
    with pytest.raises(BadJson, match=f"^{re.escape(message)}"):
        verify(b"{}", found, keys(KEY, OTHER_KEY), "it")


def test_signatures_of_an_event() -> None:
    """A policy server's signature of an event is not one of its sender's server."""
    both = sign({}, DOMAIN, [KEY, signing_key(bytes(32), "ed25519:policy_server")])
    assert parse_signatures(both, DOMAIN).keys() == {KEY.key_id, POLICY_KEY_ID}
    assert event_signatures(both, DOMAIN).keys() == {KEY.key_id}


NO_SIGNATURES: list[tuple[str, Json]] = [
    ("none at all", {}),
    ("of nobody", {"signatures": {}}),
    ("of the server, none", {"signatures": {"domain": {}}}),
    ("of another server", {"signatures": {"a.org": {"ed25519:1": SIGNATURE_OF_EMPTY}}}),
    ("of the server in upper case", {"signatures": {"DOMAIN": {"ed25519:1": "A"}}}),
    ("another algorithm", {"signatures": {"domain": {"rsa:1": "A"}}}),
    ("another algorithm's shape", {"signatures": {"domain": {"rsa:1": [{}]}}}),
    ("no key ID", {"signatures": {"domain": {"": None}}}),
]


@cases("value", NO_SIGNATURES)
def test_no_signature(value: Json) -> None:
    """Signatures of other servers and by other algorithms are passed over."""
    assert parse_signatures(value, DOMAIN) == {}


def test_other_servers_signatures_are_not_looked_at() -> None:
    """What stands under another server's name cannot spoil a server's signature."""
    value: Json = {
        "signatures": {
            "a.org": 5,
            "domain": {"ed25519:1": SIGNATURE_OF_EMPTY, "rsa:1": 5},
        }
    }
    assert parse_signatures(value, DOMAIN) == {
        "ed25519:1": decode_base64(SIGNATURE_OF_EMPTY)
    }


def test_padded_signature() -> None:
    """A signature in padded base64 is the same signature."""
    value: Json = {"signatures": {"domain": {"ed25519:1": SIGNATURE_OF_EMPTY + "=="}}}
    assert parse_signatures(value, DOMAIN) == {
        KEY.key_id: decode_base64(SIGNATURE_OF_EMPTY)
    }


VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
OBJECTS = st.builds(
    lambda members, unsigned: {**members, **unsigned},
    st.dictionaries(
        st.text().filter(lambda key: key not in {"signatures", "unsigned"}),
        VALUES,
        max_size=4,
    ),
    st.just({}) | st.builds(lambda value: {"unsigned": value}, VALUES),
)
VERSIONS = st.from_regex(r"[a-zA-Z0-9_]{1,10}", fullmatch=True)


@given(OBJECTS, SEEDS, VERSIONS)
def test_signedjson_verifies_what_we_sign(
    value: Json, seed: bytes, version: str
) -> None:
    """The reference implementation verifies our signature."""
    key = signing_key(seed, f"ed25519:{version}")
    signed = sign(value, DOMAIN, [key])
    signedjson.sign.verify_signed_json(
        signed,
        "domain",
        signedjson.key.decode_verify_key_bytes(key.key_id, key.verify_key.key),
    )


@given(OBJECTS, SEEDS, VERSIONS)
def test_we_verify_what_signedjson_signs(
    value: Json, seed: bytes, version: str
) -> None:
    """We verify the reference implementation's signature, which is also ours."""
    key = signing_key(seed, f"ed25519:{version}")
    theirs = signedjson.key.decode_signing_key_base64(
        "ed25519", version, encode_base64(seed)
    )
    signed: Json = signedjson.sign.sign_json(copy.deepcopy(value), "domain", theirs)
    verified = verify(
        signed_bytes(signed), parse_signatures(signed, DOMAIN), keys(key), "the object"
    )
    assert verified == {key.key_id}
    # signedjson takes an `unsigned` of null for none; it is not signed in any case.
    assert signature_texts(signed) == signature_texts(sign(value, DOMAIN, [key]))


SIGNATURE_TEXTS = VALUES | st.sampled_from([SIGNATURE_OF_EMPTY, "", "*", "AAAA"])
KEY_IDS = st.sampled_from(["ed25519:1", "ed25519:2", "rsa:1", "ed25519:", ""])
SIGNATURES = VALUES | st.dictionaries(
    st.sampled_from(["domain", "a.org"]),
    VALUES | st.dictionaries(KEY_IDS, SIGNATURE_TEXTS),
)


@given(SIGNATURES)
def test_nothing_but_a_protocol_error_is_raised(signatures: object) -> None:
    """Whatever stands under `signatures` is read or refused, never stumbled over."""
    try:
        found = parse_signatures({"signatures": signatures}, DOMAIN)
    except ProtocolError:
        return
    assert set(found) <= {"ed25519:1", "ed25519:2"}
    read = {each for each in found.values() if not isinstance(each, BadJson)}
    assert read <= {decode_base64(SIGNATURE_OF_EMPTY)}

"""Which certificates a key document names, in either version."""

from hashlib import sha256

import pytest

from homeserver.protocol.canonical_json import encode, encode_base64
from homeserver.protocol.key_documents import build_v2, parse_v1, parse_v2
from tests.support.domain_keys import CERTIFICATE, DOCUMENT_V1, DOCUMENT_V2, signed
from tests.support.signing_vectors import DOMAIN, KEY


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

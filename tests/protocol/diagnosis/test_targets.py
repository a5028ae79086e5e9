"""Which mistake in the request target explains a request's signature."""

import pytest

from tests.support.diagnosed_requests import (
    DELEGATED,
    OURS,
    SEND,
    codes,
    diagnose,
    signed_object,
)
from tests.support.plain_json import canonical

URIS = [
    ("/_matrix/federation/v1/send/t!1?x=a+b&c=/d", "uri-decoded"),
    ("/_matrix/federation/v1/send/t!1?x=a+b&c=%2Fd", "uri-decoded"),
    ("/_matrix/federation/v1/send/t%211", "uri-query"),
    ("/_matrix/federation/v1/send/t%211/?x=a+b&c=%2Fd", "uri-slash"),
    ("/send/t%211?x=a+b&c=%2Fd", "uri-prefix"),
    ("/federation/v1/send/t%211?x=a+b&c=%2Fd", "uri-prefix"),
    ("_matrix/federation/v1/send/t%211?x=a+b&c=%2Fd", "uri-prefix"),
    (f"https://{OURS}{SEND}", "uri-url"),
    (f"matrix://{DELEGATED}{SEND}", "uri-url"),
    ("/_matrix/federation/v1/send/t%211?x=a+b&c=%2fd", "uri-escapes"),
    ("/_matrix/federation/v1/send/t%25211?x=a+b&c=%2Fd", "uri-escapes"),
    ("/_matrix/federation/v1/send/t%211?x=a%20b&c=%2Fd", "uri-query"),
    ("/_matrix/federation/v1/send/t%211?c=%2Fd&x=a+b", "uri-query"),
]


@pytest.mark.parametrize(("signed", "code"), URIS)
def test_uri(signed: str, code: str) -> None:
    """Another target was signed; both are told."""
    [hint] = diagnose(canonical({**signed_object(), "uri": signed}))
    assert hint.code == code
    assert (hint.received, hint.expected) == (signed, SEND)


def test_uri_sent_plain() -> None:
    """The target was escaped when it was signed, and not when it was sent."""
    plain = "/_matrix/federation/v1/state/!r:a b\N{LATIN SMALL LETTER E WITH ACUTE}"
    escaped = "/_matrix/federation/v1/state/%21r%3Aa%20b%C3%A9"
    message = canonical(signed_object(None, escaped))
    [hint] = diagnose(message, None, uri=plain)
    assert hint.code == "uri-escapes"


def test_uri_slashes() -> None:
    """Slashes were joined, or one was added, before signing."""
    for sent, signed in (
        ("/_matrix//federation/v1/x/", "/_matrix/federation/v1/x/"),
        ("/_matrix/federation/v1/x/", "/_matrix/federation/v1/x"),
    ):
        message = canonical(signed_object(None, signed))
        assert codes(message, sent=None, uri=sent) == ["uri-slash"]

"""What the X-Matrix headers of one request claim."""

import pytest

from homeserver.protocol.errors import BadAuthorization, ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix_headers import (
    MAX_HEADERS,
    MissingAuthorization,
    OtherDestination,
    XMatrixHeaders,
)

SIGNATURE = "A" * 86
OLD = f'X-Matrix origin=a.test,key="ed25519:1",sig="{SIGNATURE}"'
NEW = f'X-Matrix origin=b.test,destination=c.test,key="ed25519:1",sig="{SIGNATURE}"'


@pytest.mark.parametrize(
    ("texts", "origin", "destination"),
    [
        ([], None, None),
        (["Bearer x"], None, None),
        ([OLD], "a.test", None),
        ([NEW], "b.test", "c.test"),
        ([OLD, NEW], "a.test", "c.test"),
        (["Bearer x", NEW], "b.test", "c.test"),
        (["Bearer x"] * MAX_HEADERS + [NEW], None, None),
    ],
)
def test_claims(texts: list[str], origin: str | None, destination: str | None) -> None:
    """Origin and destination are those of the first header that has them."""
    headers = XMatrixHeaders(texts)
    assert headers.claimed_origin == origin
    named = headers.claimed_destination
    assert (named and named.name) == destination


@pytest.mark.parametrize(
    "texts", [[OLD], [NEW], ["Bearer x", NEW], [NEW, NEW], [OLD] * MAX_HEADERS]
)
def test_accepted(texts: list[str]) -> None:
    """Those that can be read are the authorizations, if all are of one origin."""
    headers = XMatrixHeaders(texts)
    assert headers.check(ServerName.parse("c.test")) == headers.readable
    assert len(headers.readable) == sum(text != "Bearer x" for text in texts)


@pytest.mark.parametrize(
    ("texts", "kind", "why"),
    [
        ([], MissingAuthorization, "^the request has no X-Matrix Authorization header"),
        (
            [OLD] * (MAX_HEADERS + 1),
            BadAuthorization,
            "^the request has 9 Authorization headers; 8 are allowed",
        ),
        (["Bearer x", "Basic y"], BadAuthorization, "X-Matrix"),
        ([OLD, NEW], BadAuthorization, "^the X-Matrix headers name different origins"),
        (
            [NEW.replace("c.test", "d.test")],
            OtherDestination,
            "^the request is for 'd.test'; this server is c.test",
        ),
        (
            [NEW, NEW.replace("c.test", "c.test:8448")],
            OtherDestination,
            "^the request is for 'c.test:8448'; this server is c.test",
        ),
    ],
)
def test_refused(texts: list[str], kind: type[ProtocolError], why: str) -> None:
    """Headers that cannot prove a request to this server are refused by themselves."""
    with pytest.raises(kind, match=why):
        XMatrixHeaders(texts).check(ServerName.parse("c.test"))

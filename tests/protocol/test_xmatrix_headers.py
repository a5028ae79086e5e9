"""What the X-Matrix headers of one request claim."""

import pytest

from homeserver.protocol.xmatrix_headers import MAX_HEADERS, XMatrixHeaders

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

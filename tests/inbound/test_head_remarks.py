"""What is remarked of the head of a request that was accepted."""

import pytest

from homeserver.inbound.head_remarks import remarks_on_head
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.remarks import REMARKS
from homeserver.protocol.xmatrix_headers import XMatrixHeaders

US = ServerName.parse("us.example")
HEADER = 'X-Matrix origin="{}",{}key="ed25519:a",sig="{}"'
DESTINATION = 'destination="us.example",'
SIGNATURE = "A" * 86

HEADS = [
    (HEADER.format("a", DESTINATION, SIGNATURE), []),
    (HEADER.format("a", "", SIGNATURE), ["no_destination"]),
    (HEADER.format("A", DESTINATION, SIGNATURE), ["capitals"]),
    (HEADER.format("a", DESTINATION, SIGNATURE + "=="), ["padded_base64"]),
]


@pytest.mark.parametrize(("header", "codes"), HEADS)
def test_heads(header: str, codes: list[str]) -> None:
    """A header that is accepted may be wrong all the same."""
    headers = XMatrixHeaders([header])
    found = [each.code for each in remarks_on_head(headers, US, None)]
    assert found == codes
    assert set(found) <= REMARKS.keys()

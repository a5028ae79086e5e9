"""When a request that came to the default port is remarked."""

import pytest

from homeserver.protocol.diagnosis.fallback import remark_on_fallback
from homeserver.protocol.discovery import SrvRecord
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.remarks import REMARKS

ELSEWHERE = SrvRecord(10, 0, 9000, "a.example")
HERE = SrvRecord(20, 0, 8448, "b.example")
NO_SERVICE = SrvRecord(0, 0, 0, ".")
PORT_0 = SrvRecord(0, 0, 0, "a.example")

CASES = [
    ("us.example", 8448, [ELSEWHERE], True),
    ("us.example", 8448, [ELSEWHERE, ELSEWHERE], True),
    ("us.example", 8448, [PORT_0, ELSEWHERE], True),
    ("us.example", 9000, [ELSEWHERE], False),
    ("us.example", 443, [ELSEWHERE], False),
    ("us.example", 8448, [], False),
    ("us.example", 8448, [HERE], False),
    ("us.example", 8448, [ELSEWHERE, HERE], False),
    ("us.example", 8448, [NO_SERVICE], False),
    ("us.example", 8448, [PORT_0], False),
    ("us.example:8448", 8448, [ELSEWHERE], False),
    ("us.example:9000", 8448, [ELSEWHERE], False),
    ("192.0.2.1", 8448, [ELSEWHERE], False),
    ("[2001:db8::1]", 8448, [ELSEWHERE], False),
]


@pytest.mark.parametrize(("asked", "port", "records", "is_remarked"), CASES)
def test_fallback(
    asked: str, port: int, records: list[SrvRecord], is_remarked: object
) -> None:
    """Records that lead elsewhere alone make the default port a mistake."""
    found = remark_on_fallback(ServerName.parse(asked), port, records)
    assert (found is not None) is is_remarked
    if found is not None:
        assert found.code in REMARKS
        assert "the SRV record of us.example leads to port 9000; " in found.text

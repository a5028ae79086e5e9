"""What follows when a route fails: the next one, never a second sending.

Addresses that are not connected to are routes that fail, whatever names lead there.
"""

import pytest

from homeserver.net.addresses import REFUSED_RANGES, AddressPolicy, AddressRange
from homeserver.outbound.transport.connector import Unreachable
from tests.support.dns_answers import Question, records
from tests.support.ipv6 import skip_without
from tests.support.name_servers import NameServer, serving
from tests.support.real_discovery import certify, discovering
from tests.support.recording_peers import http
from tests.support.tls_servers import TlsServer, listening

CLOSE = http(b"{}", headers="Connection: close\r\n")


def test_rebinding_leads_nowhere() -> None:
    """What was checked is what is connected to, and the next look-up is checked anew.

    The name server tells another address with each answer.
    """
    skip_without("::1")
    inner, outer = (
        TlsServer(certify("a.test")),
        TlsServer(certify("a.test"), host="::1"),
    )
    outer.otherwise = CLOSE
    policy = AddressPolicy(REFUSED_RANGES, [AddressRange.parse("::1/128")])
    server = NameServer()
    with serving(server), listening(inner), discovering(server, policy=policy) as reach:
        outer.port = inner.port

        def answer(question: Question) -> bytes | None:
            is_first = server.asked.count(str(question)) == 1
            line = "AAAA ::1" if is_first else "A 127.0.0.1"
            return records(f"a.test {line}", ttl=0)(question)

        server.special["a.test"] = answer
        with listening(outer):
            assert reach.ask(f"a.test:{inner.port}").address == "::1"
            assert sorted(server.asked) == ["A a.test", "AAAA a.test"]
            with pytest.raises(Unreachable, match="in the refused range 127"):
                reach.ask(f"a.test:{inner.port}")
    assert len(outer.requests) == 1
    assert inner.conversations == []

"""What follows when a route fails: the next one, never a second sending.

Addresses that are not connected to are routes that fail, whatever names lead there.
"""

import pytest

from homeserver.net.addresses import REFUSED_RANGES, AddressPolicy, AddressRange
from homeserver.net.exchange import Exchange
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.identifiers import ServerName
from scripts.processes import free_ports
from tests.support.certificates import issue_for
from tests.support.discovery_cases import HOSTS
from tests.support.name_servers import NameServer, Question, records, serving
from tests.support.real_discovery import SERVICES_2014, certify, discovering
from tests.support.recording_peers import http, key_document
from tests.support.tls_servers import TlsServer, hang_up, listening
from tests.support.waiting import wait

KEYS = "/_matrix/key/v2/server"
A_TEST = ServerName.parse("a.test")
CLOSE = http(b"{}", headers="Connection: close\r\n")


@pytest.mark.parametrize(
    "target", ["1 0 {closed} s.test", "1 0 {bad} s.test", "1 0 1 inner.test"]
)
def test_next_target_is_tried(target: str) -> None:
    """A target that cannot be reached, or is another server, is passed over.

    Also a certificate for the target's own name is one for another name.
    """
    good, bad = TlsServer(certify("a.test")), TlsServer(certify("s.test"))
    policy = AddressPolicy([AddressRange.parse("fc00::/7")], [])
    server = NameServer(*HOSTS, "inner.test AAAA fd00::1")
    with (
        serving(server),
        listening(good, bad),
        discovering(server, well_known=False, policy=policy) as reach,
    ):
        [closed] = free_ports(1)
        first = target.format(closed=closed, bad=bad.port)
        server.serve(
            f"_matrix._tcp.a.test SRV {first}",
            f"_matrix._tcp.a.test SRV 2 0 {good.port} s.test",
        )
        assert reach.ask("a.test").route.port == good.port
    assert bool(bad.conversations) == ("{bad}" in target)
    assert bad.received == b""
    assert ["fd00::1"] not in [addresses for addresses, _ in reach.dialer.dialled]


def test_nothing_is_sent_to_a_second_target() -> None:
    """After bytes of a request were sent, no other target is tried."""
    first = TlsServer(certify("a.test"), otherwise=hang_up)
    second = TlsServer(first.issued)
    with serving(NameServer(*HOSTS)) as server, listening(first, second):
        server.serve(
            f"_matrix._tcp.a.test SRV 1 0 {first.port} s.test",
            f"_matrix._tcp.a.test SRV 2 0 {second.port} s.test",
        )
        with (
            discovering(server, well_known=False) as reach,
            pytest.raises(Unreachable, match="the peer ended the connection"),
        ):
            wait(
                reach.client.send_transaction(
                    A_TEST, "1", b'{"pdus":[]}', exchange=Exchange()
                )
            )
    assert first.requests == ["PUT a.test/_matrix/federation/v1/send/1"]
    assert second.conversations == []


def test_of_2014_the_second_target_answers() -> None:
    """In the manner of 2014 the second target is found, and proven by key document."""
    peer = TlsServer(issue_for("whoever.test"))
    peer.pages["a.test/_matrix/key/v1"] = http(key_document("a.test", peer.issued))
    server = NameServer(*HOSTS)
    with (
        serving(server),
        listening(peer),
        discovering(
            server, well_known=False, services=SERVICES_2014, methods=("key-document",)
        ) as reach,
    ):
        [closed] = free_ports(1)
        server.serve(
            f"_matrix._tcp.a.test SRV 10 0 {closed} x.test",
            f"_matrix._tcp.a.test SRV 20 0 {peer.port} s.test",
            "x.test A 127.0.0.1",
        )
        link = reach.ask("a.test", KEYS)
    assert (link.route.host, link.peer.verified_by) == ("s.test", "key-document")
    assert peer.requests == ["GET a.test/_matrix/key/v1", f"GET a.test{KEYS}"]
    assert peer.server_names == ["a.test"] * 2
    assert len(peer.conversations) == 1


def test_rebinding_leads_nowhere() -> None:
    """What was checked is what is connected to, and the next look-up is checked anew.

    The name server tells another address with each answer.
    """
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

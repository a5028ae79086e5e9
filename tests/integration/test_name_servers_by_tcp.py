"""What a name server cuts off by UDP is asked for by TCP."""

from twisted.names import dns

from homeserver.protocol.discovery import MAX_TARGETS
from tests.support.discovery_cases import OLD_A
from tests.support.dns_answers import code, records, silence, truncated
from tests.support.failing_name_servers import (
    ASKED,
    BY_TCP,
    SERVICE,
    answering,
    outcome,
    serving_all,
)
from tests.support.name_servers import NameServer, serving
from tests.support.real_discovery import SERVICES_2014, discovering

MANY = records(*(f"{SERVICE} SRV {n} 0 {n + 1} s.test" for n in range(99, -1, -1)))


def test_tcp_goes_to_the_server_that_answered() -> None:
    """What one server has cut off is asked by TCP of that server, and no other."""
    first, second, third = answering(code(dns.ESERVER)), answering(MANY), NameServer()
    with serving_all(first, second, third):
        _, routes = outcome(third, first.address, second.address)
    assert routes == [f"s.test:{n + 1}" for n in range(MAX_TARGETS)]
    assert first.asked == [ASKED]
    assert second.asked == [ASKED, BY_TCP]
    assert third.asked == []


def test_tcp_that_ends_after_each_answer() -> None:
    """A server may end each connection: each question that is cut off gets its own."""
    server = answering(MANY, ends_tcp=True)
    server.special["_matrix._tcp.b.test"] = records(
        *(f"_matrix._tcp.b.test SRV {n} 0 {n + 1} t.test" for n in range(100))
    )
    with (
        serving(server),
        discovering(server, well_known=False, services=SERVICES_2014) as reach,
    ):
        assert reach.outcome("a.test")[1][:1] == ["s.test:1"]
        assert reach.outcome("b.test")[1][:1] == ["t.test:1"]


def test_no_tcp() -> None:
    """An answer that is too long for UDP is no answer where TCP is refused."""
    server = answering(truncated(silence))
    with serving(server, tcp=False):
        [step], _ = outcome(server)
    assert step.startswith(OLD_A + "no answer: the name server cannot be asked: ")
    assert "refused" in step

"""A silent name server is asked again within bounds, and then last."""

from twisted.names import dns

from homeserver.outbound.discovery import name_servers
from tests.support.discovery_cases import OLD_A
from tests.support.dns_answers import Question, code, silence
from tests.support.failing_name_servers import (
    ASKED,
    FOUND,
    GOOD,
    NOWHERE,
    SERVICE,
    answering,
    outcome,
    serving_all,
)
from tests.support.name_servers import serving
from tests.support.real_discovery import HURRIED, SERVICES_2014, discovering
from tests.support.waiting import reactor, wait


def test_only_the_silent_are_asked_again() -> None:
    """In the second round, a server that has failed is not asked, a silent one is."""
    answers = [GOOD, silence, silence]
    first = answering(code(dns.ESERVER))

    def answer_later(question: Question) -> bytes | None:
        return answers.pop()(question)

    second = answering(answer_later)
    with serving_all(first, second):
        assert outcome(second, first.address, clock=HURRIED) == FOUND
    assert first.asked == [ASKED]
    assert second.asked == [ASKED] * 3


def test_unreachable_server_goes_last() -> None:
    """A server that was silent is asked last by the next questions."""
    first, second = answering(silence), answering(GOOD)
    second.special["_matrix._tcp.b.test"] = code(dns.ENAME)
    first.special["_matrix._tcp.b.test"] = code(dns.ENAME)
    with (
        serving_all(first, second),
        discovering(
            second,
            well_known=False,
            services=SERVICES_2014,
            clock=HURRIED,
            before=[first.address],
        ) as reach,
    ):
        reach.outcome("a.test")
        assert (len(first.asked), len(second.asked)) == (1, 1)
        reach.outcome("b.test")
        assert (len(first.asked), len(second.asked)) == (1, 2)


def test_server_that_nothing_can_be_sent_to_goes_last() -> None:
    """What cannot be reached at all is asked last by the next questions, too."""
    good, nowhere = answering(GOOD), NOWHERE["no route"]
    with serving(good):
        servers = [(each.host, each.port) for each in (nowhere, good.address)]
        asked = name_servers.DnsClient(lambda: servers, reactor)
        assert asked._in_order() == servers

        async def ask() -> dns.Message:
            query = dns.Query(SERVICE.encode(), dns.SRV)
            return await asked.queryUDP([query], [5.0])

        wait(ask())
    assert asked._in_order() == servers[::-1]
    assert good.asked == [ASKED]


def test_silent_server() -> None:
    """A server is asked three times, and waited for no longer than six seconds."""
    server = answering(silence)
    before = HURRIED.seconds()
    with serving(server):
        steps, [said] = outcome(server, clock=HURRIED)
    assert HURRIED.seconds() - before >= 6
    assert steps == [OLD_A + "no answer: the name server did not answer in time"]
    assert said.endswith("the name server did not answer in time")
    assert server.asked == [ASKED] * 3

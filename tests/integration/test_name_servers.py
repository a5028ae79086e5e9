"""Name servers over real UDP and TCP, of which some lie, fail or are not there."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast

import pytest
from twisted.internet import udp
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import DatagramProtocol
from twisted.names import dns

from homeserver.net.addresses import SocketAddress
from homeserver.net.cause import OURSELVES
from homeserver.outbound.discovery import name_servers
from homeserver.protocol.discovery import MAX_TARGETS
from homeserver.protocol.identifiers import ServerName
from tests.support.discovery_cases import OLD_A
from tests.support.name_servers import (
    Answer,
    NameServer,
    Question,
    always_truncated,
    code,
    empty,
    garbage,
    hang_up,
    other_id,
    other_question,
    records,
    serving,
    silence,
    times,
    truncated,
)
from tests.support.real_discovery import HURRIED, SERVICES_2014, discovering
from tests.support.waiting import reactor, wait

SERVICE = "_matrix._tcp.a.test"
ASKED, BY_TCP = f"SRV {SERVICE}", f"SRV {SERVICE} by TCP"
GOOD = records(f"{SERVICE} SRV 1 2 3 s.test")
MANY = records(*(f"{SERVICE} SRV {n} 0 {n + 1} s.test" for n in range(99, -1, -1)))

# What the first server does, and what it is asked until the second one is.
FAILURES: dict[str, tuple[Answer, Sequence[str]]] = {
    "is silent": (silence, [ASKED]),
    "answers FORMERR": (code(dns.EFORMAT), [ASKED]),
    "answers SERVFAIL": (code(dns.ESERVER), [ASKED]),
    "answers NOTIMP": (code(dns.ENOTIMP), [ASKED]),
    "answers REFUSED": (code(dns.EREFUSED), [ASKED]),
    "answers an unknown code": (code(11), [ASKED]),
    "answers another ID": (other_id, [ASKED]),
    "answers with two bytes": (garbage(b""), [ASKED]),
    "answers with nonsense": (garbage(b"\x81\x80" + b"\xff" * 8), [ASKED]),
    "answers with ones": (garbage(b"\xff" * 500), [ASKED, BY_TCP]),  # TC is set
    "answers with a name that leads to itself": (
        garbage(b"\x81\x80\0\1\0\1\0\0\0\0\xc0\x0c\0\x21\0\1"),
        [ASKED],
    ),
    "answers no question": (times(0, empty(60)), [ASKED]),
    "answers two questions": (times(2, empty(60)), [ASKED]),
    "answers of another name": (other_question("_matrix._tcp.b.test"), [ASKED]),
    "answers of another kind": (other_question(SERVICE, dns.A), [ASKED]),
    "is silent by TCP": (truncated(silence), [ASKED, BY_TCP]),
    "answers SERVFAIL by TCP": (truncated(code(dns.ESERVER)), [ASKED, BY_TCP]),
    "cuts off by TCP": (always_truncated, [ASKED, BY_TCP]),
    "ends TCP without an answer": (hang_up, [ASKED, BY_TCP]),
}


def answering(answer: Answer, *, ends_tcp: bool = False) -> NameServer:
    """A name server with one answer to the SRV question."""
    server = NameServer()
    server.special[SERVICE] = answer
    server.ends_tcp = ends_tcp
    return server


@contextmanager
def serving_all(*servers: NameServer) -> Iterator[None]:
    """Let all of them listen."""
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(serving(server))
        yield


def outcome(
    server: NameServer, *before: SocketAddress, clock: PosixReactorBase = reactor
) -> tuple[list[str], list[str]]:
    """The steps and the routes of `a.test`, by a server and those before it."""
    with discovering(
        server, well_known=False, services=SERVICES_2014, clock=clock, before=before
    ) as reach:
        return reach.outcome("a.test")


FOUND = ([OLD_A + "1 2 3 s.test"], ["s.test:3"])


@pytest.mark.parametrize(("answer", "asked"), FAILURES.values(), ids=FAILURES)
def test_next_server(answer: Answer, asked: Sequence[str]) -> None:
    """The next server is asked where the first one fails in any way."""
    first, second = answering(answer, ends_tcp=True), answering(GOOD)
    with serving_all(first, second):
        assert outcome(second, first.address, clock=HURRIED) == FOUND
    assert first.asked == asked
    assert second.asked == [ASKED]


NOWHERE = {
    # The system refuses to send there, as to any address that no route leads to.
    "no route": SocketAddress("255.255.255.255", 53),
    # Documentation: no route, or a silent one.
    "IPv6 without a network": SocketAddress("2001:db8::53", 53),
}


@pytest.mark.parametrize("address", NOWHERE.values(), ids=NOWHERE)
def test_no_way_to_the_first(address: SocketAddress) -> None:
    """The next server is asked where no way leads to the first one."""
    server = answering(GOOD)
    with serving(server):
        assert outcome(server, address, clock=HURRIED) == FOUND
    assert server.asked == [ASKED]


class WithoutIpv6:
    """The reactor of a machine that has no IPv6."""

    def __getattr__(self, name: str) -> object:
        return getattr(reactor, name)

    def listenUDP(
        self, port: int, protocol: DatagramProtocol, interface: str = ""
    ) -> IListeningPort:
        if interface == "::":
            raise CannotListenError(interface, port, OSError(97, "no IPv6"))
        listening: IListeningPort
        listening = reactor.listenUDP(port, protocol, interface=interface)
        return listening


def test_machine_without_ipv6() -> None:
    """A name server of IPv6 is passed over where the machine has none."""
    server = answering(GOOD)
    with serving(server):
        found = outcome(
            server,
            SocketAddress("2001:db8::53", 53),
            clock=cast("PosixReactorBase", WithoutIpv6()),
        )
    assert found == FOUND


def test_no_address() -> None:
    """A name server that is no IP address is passed over."""
    server = answering(GOOD)
    with serving(server):
        assert outcome(server, SocketAddress("ns.test", 53)) == FOUND


def test_nothing_listens() -> None:
    """Where nothing listens, the next server is asked without waiting a second."""
    gone, server = answering(GOOD), answering(GOOD)
    with serving(gone):
        pass
    with serving(server):
        before = reactor.seconds()
        assert outcome(server, gone.address) == FOUND
        assert reactor.seconds() - before < 1


CERTAIN = {"NXDOMAIN": code(dns.ENAME), "no record": empty(60)}


@pytest.mark.parametrize("answer", CERTAIN.values(), ids=CERTAIN)
def test_certain_answer(answer: Answer) -> None:
    """That there is no such record is an answer: no other server is asked."""
    first, second = answering(answer), answering(GOOD)
    with serving_all(first, second):
        _, routes = outcome(second, first.address)
    assert routes == ["a.test:8448"]
    assert second.asked == []


def test_none_answers() -> None:
    """Where each server fails, there is no fallback; the last failure is reported."""
    first, second = answering(code(dns.ESERVER)), answering(code(dns.EREFUSED))
    with serving_all(first, second):
        steps, _ = outcome(second, first.address)
    assert steps == [OLD_A + "no answer: the name server answers REFUSED"]
    assert first.asked == second.asked == [ASKED]


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


def test_name_in_other_case() -> None:
    """An answer may spell the name of its question in other letters."""
    server = answering(
        lambda question: (GOOD(question) or b"").replace(b"matrix", b"MaTrIx", 1)
    )
    with serving(server):
        assert outcome(server) == FOUND


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


def test_no_tcp() -> None:
    """An answer that is too long for UDP is no answer where TCP is refused."""
    server = answering(truncated(silence))
    with serving(server, tcp=False):
        [step], _ = outcome(server)
    assert step.startswith(OLD_A + "no answer: the name server cannot be asked: ")
    assert "refused" in step


def test_event_of_a_connection_that_ended() -> None:
    """An event of the connection that had the descriptor before harms no question."""
    events: list[udp.Port] = []
    epoll = cast("EPollReactor", reactor)

    def answer(question: Question) -> bytes | None:
        for port in list(epoll.getReaders()):
            if not isinstance(port, udp.Port):
                continue
            if type(port.protocol).__module__ == name_servers.__name__:
                epoll._doReadOrWrite(port, port.fileno(), epoll._POLL_OUT)
                events.append(port)
        return GOOD(question)

    server = answering(answer)
    with serving(server):
        assert outcome(server, clock=HURRIED) == FOUND
    assert len(events) == 1


# Where Twisted meets a port that is taken, it leaves the socket to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_thousand_names_at_once() -> None:
    """A thousand names are resolved at once, with a hundred questions at a time."""
    names = [f"n{n}.test" for n in range(1000)]
    server = NameServer(*(f"_matrix._tcp.{name} SRV 0 0 7 {name}" for name in names))
    server.delay = 0.02
    with serving(server), discovering(server, well_known=False) as reach:

        async def resolve() -> list[str]:
            found = await gatherResults(
                [
                    Deferred.fromCoroutine(
                        reach.resolver.resolve(ServerName.parse(name), OURSELVES)
                    )
                    for name in names
                ]
            )
            return [str(route) for each in found for route in each.routes]

        assert wait(resolve()) == [f"{name}:7" for name in names]
    assert 50 < server.most_unanswered <= 100
    assert len(set(server.asked)) == 2000
    gc.collect()

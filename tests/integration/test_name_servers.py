"""The next name server is asked where one fails, lies or cannot be asked."""

import gc
from collections.abc import Sequence
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
from homeserver.outbound.discovery import dns as lookups
from homeserver.outbound.discovery import name_servers
from homeserver.protocol.identifiers import ServerName
from tests.support.discovery_cases import OLD_A
from tests.support.dns_answers import (
    Answer,
    Question,
    always_truncated,
    code,
    empty,
    garbage,
    hang_up,
    other_id,
    other_question,
    silence,
    times,
    truncated,
)
from tests.support.eventually import HANGING_SECONDS
from tests.support.failing_name_servers import (
    ASKED,
    BY_TCP,
    FOUND,
    GOOD,
    NOWHERE,
    SERVICE,
    answering,
    outcome,
    serving_all,
)
from tests.support.name_servers import NameServer, serving
from tests.support.real_discovery import HURRIED, SLOWED, discovering
from tests.support.waiting import reactor, wait

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


@pytest.mark.parametrize(("answer", "asked"), FAILURES.values(), ids=FAILURES)
def test_next_server(answer: Answer, asked: Sequence[str]) -> None:
    """The next server is asked where the first one fails in any way."""
    first, second = answering(answer, ends_tcp=True), answering(GOOD)
    with serving_all(first, second):
        assert outcome(second, first.address, clock=HURRIED) == FOUND
    assert first.asked == asked
    assert second.asked == [ASKED]


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
    """Where nothing listens, the next server is asked before any time is over."""
    gone, server = answering(GOOD), answering(GOOD)
    with serving(gone):
        pass
    with serving(server):
        assert outcome(server, gone.address, clock=SLOWED) == FOUND


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


def test_name_in_other_case() -> None:
    """An answer may spell the name of its question in other letters."""
    server = answering(
        lambda question: (GOOD(question) or b"").replace(b"matrix", b"MaTrIx", 1)
    )
    with serving(server):
        assert outcome(server) == FOUND


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
def test_thousand_names_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand names are resolved at once, with a hundred questions at a time."""
    # Both ends are in this thread, which may be slower than a patient one expects.
    monkeypatch.setattr(lookups, "_TIMEOUTS", (20, 40, 60))
    monkeypatch.setattr(lookups, "_QUESTION_SECONDS", HANGING_SECONDS)
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

        assert wait(resolve(), HANGING_SECONDS) == [f"{name}:7" for name in names]
    assert 50 < server.most_unanswered <= 100
    assert len(set(server.asked)) == 2000
    gc.collect()

"""What name servers answer, over real UDP and TCP, and what discovery makes of it."""

import gc
import re
from typing import cast

import pytest
from twisted.internet import udp
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.epollreactor import EPollReactor

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
    garbage,
    other_id,
    records,
    serving,
    silence,
    srv,
    truncated,
)
from tests.support.real_discovery import HURRIED, SERVICES_2014, discovering
from tests.support.waiting import reactor, wait

SERVICE = "_matrix._tcp.a.test"
RECORD = f"{SERVICE} SRV 1 2 3 s.test"

NO = [OLD_A + "no such record", "fallback: a.test: connect to a.test:8448"]
FOUND = [OLD_A + "1 2 3 s.test"]
UNUSABLE = "(unusable: the target is not a host name)"
NO_PORT = "0 0 0 s.test (unusable: port 0 is not a port)"
HOSTILE = f"0 0 1 'a b.test' {UNUSABLE}, 0 0 2 '\\\\xff\\x1b[2J' {UNUSABLE}, {NO_PORT}"
TOO_MANY = f"more than 8 aliases lead away from {SERVICE}"


def outcome(
    answer: Answer, *, tcp: bool = True, hurry: bool = False
) -> tuple[list[str], list[str], list[str]]:
    """Resolve `a.test` with one answer to its SRV question.

    The steps; the routes, or why there are none; and what the server was asked.
    """
    server = NameServer()
    server.special[SERVICE] = answer
    with (
        serving(server, tcp=tcp),
        discovering(
            server,
            well_known=False,
            services=SERVICES_2014,
            clock=HURRIED if hurry else reactor,
        ) as reach,
    ):
        return *reach.outcome("a.test"), server.asked


# What the name server answers, the steps, and the routes.
CERTAIN: dict[str, tuple[Answer, list[str], list[str]]] = {
    "a record": (records(RECORD), FOUND, ["s.test:3"]),
    "an alias": (
        records(f"{SERVICE} CNAME x.test", "x.test SRV 1 2 3 s.test"),
        FOUND,
        ["s.test:3"],
    ),
    "NXDOMAIN": (code(3), NO, ["a.test:8448"]),
    "targets of which one is a host": (
        srv((1, b"a b.test"), (2, b"\xff\x1b[2J"), (0, b"s.test"), (4, b"s.test")),
        [f"{OLD_A}{HOSTILE}, 0 0 4 s.test"],
        ["s.test:4"],
    ),
}


@pytest.mark.parametrize(("answer", "steps", "routes"), CERTAIN.values(), ids=CERTAIN)
def test_certain_answer(answer: Answer, steps: list[str], routes: list[str]) -> None:
    """What a name server says for certain, that there is none included, is taken."""
    assert outcome(answer) == (steps, routes, [f"SRV {SERVICE}"])


UNCERTAIN: dict[str, tuple[Answer, str]] = {
    "SERVFAIL": (code(2), "no answer: the name server answers SERVFAIL"),
    "an unknown code": (code(11), "no answer: the name server answers DNSUnknownError"),
    "aliases in a circle": (
        records(f"{SERVICE} CNAME x.test", f"x.test CNAME {SERVICE}"),
        f"no answer: {TOO_MANY}",
    ),
}


@pytest.mark.parametrize(("answer", "found"), UNCERTAIN.values(), ids=UNCERTAIN)
def test_uncertain_answer(answer: Answer, found: str) -> None:
    """Where it is not certain that there are no records, there is no fallback."""
    said = f"SRV {SERVICE}: {found.removeprefix('no answer: ')}"
    assert outcome(answer) == ([OLD_A + found], [said], [f"SRV {SERVICE}"])


@pytest.mark.parametrize(
    "answer",
    [
        silence,
        other_id,
        garbage(b""),
        garbage(b"\x81\x80\0\1\0\1\0\0\0\0\xc0\x0c\0\x21\0\1"),
    ],
    ids=["silence", "another ID", "two bytes", "a name that leads to itself"],
)
def test_no_answer(answer: Answer) -> None:
    """What is no answer is waited for no longer than six seconds, with three tries."""
    before = HURRIED.seconds()
    steps, [said], asked = outcome(answer, hurry=True)
    assert HURRIED.seconds() - before >= 6
    assert steps == [OLD_A + "no answer: the name server did not answer in time"]
    assert said.endswith("the name server did not answer in time")
    assert asked == [f"SRV {SERVICE}"] * 3


def test_long_answer_comes_by_tcp() -> None:
    """Of a hundred records, too many for UDP, twenty are tried, the best first."""
    lines = [f"{SERVICE} SRV {n} 0 {n + 1} s.test" for n in range(100)]
    steps, routes, asked = outcome(records(*reversed(lines)))
    assert routes == [f"s.test:{n + 1}" for n in range(MAX_TARGETS)]
    assert steps[0].startswith(OLD_A + "0 0 1 s.test, ")
    assert steps[0].endswith(", 80 more")
    assert asked == [f"SRV {SERVICE}", f"SRV {SERVICE} by TCP"]


@pytest.mark.parametrize(
    ("tcp", "said"),
    [(True, "did not answer in time"), (False, "cannot be asked: .* refused")],
    ids=["is silent", "refuses"],
)
def test_no_answer_by_tcp(tcp: bool, said: str) -> None:  # noqa: FBT001
    """An answer that is too long for UDP is no answer where TCP gives none."""
    steps, _, _ = outcome(truncated(silence), tcp=tcp, hurry=tcp)
    [step] = steps
    assert step.startswith(OLD_A + "no answer: the name server ")
    assert re.search(said, step)


@pytest.mark.parametrize(
    "tail",
    [b"\xff" * 500, b"\x81\x80" + b"\xff" * 8],
    ids=["all ones", "without what it announces"],
)
def test_nonsense_is_no_answer(tail: bytes) -> None:
    """Bytes that are no whole answer do not say that there is no such record."""
    steps, _, _ = outcome(garbage(tail), hurry=True)
    assert len(steps) == 1
    assert steps[0].startswith(OLD_A + "no answer: the name server ")


def test_truncated_by_tcp_too() -> None:
    """An answer by TCP that says it was cut off is no answer, and not asked for again.

    The server falls silent in the end, so that who asks again comes to an end too.
    """
    left = iter(range(50))

    def answer(question: Question) -> bytes | None:
        return None if next(left, None) is None else always_truncated(question)

    steps, _, asked = outcome(answer, hurry=True)
    assert steps[0].startswith(OLD_A + "no answer: the name server ")
    assert asked == [f"SRV {SERVICE}", f"SRV {SERVICE} by TCP"]


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
        return records(RECORD)(question)

    steps, routes, _ = outcome(answer, hurry=True)
    assert (steps, routes) == (FOUND, ["s.test:3"])
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

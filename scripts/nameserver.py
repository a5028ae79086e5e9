"""A small authoritative name server for experiments and tests.

    python -m scripts.nameserver HOST:PORT < ZONE

ZONE has a record a line: `NAME TYPE VALUE...`, for example

    alpha.test A 127.0.0.1
    _matrix._tcp.alpha.test SRV 10 0 8448 alpha.test

The zone ends with an empty line; then the server answers over UDP and TCP until its
standard input ends, so that it does not outlive the process that started it. Names
without any record get NXDOMAIN. Each question is printed with its answer.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from twisted.internet import reactor as global_reactor  # noqa: TID251 - a program
from twisted.internet import stdio
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Protocol, connectionDone
from twisted.names import dns
from twisted.names.error import AuthoritativeDomainError
from twisted.names.server import DNSServerFactory
from twisted.python.failure import Failure

TTL = 1  # seconds

Records = Mapping[str, Sequence[dns.RRHeader]]


def parse_zone(lines: Iterable[str]) -> Records:
    """The records of a zone's lines, by name."""
    zone: dict[str, list[dns.RRHeader]] = defaultdict(list)
    for line in lines:
        name, kind, *values = line.split()
        record: dns.IEncodableRecord
        if kind == "A":
            record = dns.Record_A(*values)
        elif kind == "AAAA":
            record = dns.Record_AAAA(*values)
        elif kind == "CNAME":
            record = dns.Record_CNAME(*values)
        elif kind == "SRV":
            priority, weight, port, target = values
            record = dns.Record_SRV(int(priority), int(weight), int(port), target)
        else:
            raise ValueError(f"cannot serve {kind} records: {line}")
        zone[name.lower()].append(
            dns.RRHeader(name, record.TYPE, dns.IN, TTL, record, auth=True)
        )
    return zone


class Zone:
    """Answers questions from a zone, as a twisted.names resolver."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def query(
        self, query: dns.Query, timeout: object = None
    ) -> Deferred[tuple[list[dns.RRHeader], list[object], list[object]]]:
        """The records of a question, with the aliases that lead to them."""
        name = str(query.name).lower()
        answers: list[dns.RRHeader] = []
        if name not in self._records:
            print(f"{dns.QUERY_TYPES[query.type]} {name}: no such name", flush=True)
            return fail(AuthoritativeDomainError(name))
        while name in self._records:
            here = self._records[name]
            answers += [r for r in here if r.type in {query.type, dns.CNAME}]
            aliases = [r for r in here if r.type == dns.CNAME]
            if not aliases or len(answers) > 10:
                break
            name = str(cast("dns.Record_CNAME", aliases[0].payload).name).lower()
        print(
            f"{dns.QUERY_TYPES[query.type]} {query.name}: {len(answers)} records",
            flush=True,
        )
        return succeed((answers, [], []))


class UntilEndOfInput(Protocol):
    """Ends the program when its standard input ends."""

    def __init__(self, reactor: PosixReactorBase) -> None:
        self._reactor = reactor

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted: standard input has ended."""
        self._reactor.stop()


def main() -> None:
    """Serve the zone on standard input."""
    host, _, port = sys.argv[1].rpartition(":")
    lines = []
    while line := sys.stdin.readline().strip():
        lines.append(line)
    factory = DNSServerFactory(clients=[Zone(parse_zone(lines))])
    factory.noisy = False
    protocol = dns.DNSDatagramProtocol(factory)
    protocol.noisy = False
    reactor = cast("PosixReactorBase", global_reactor)
    tcp = reactor.listenTCP(int(port), factory, interface=host)
    number = cast("IPv4Address", tcp.getHost()).port
    reactor.listenUDP(number, protocol, interface=host)
    stdio.StandardIO(UntilEndOfInput(reactor))
    print(f"listening: {host}:{number}", flush=True)
    reactor.run()


if __name__ == "__main__":
    main()

"""The names and addresses of the attackers, and a name server that knows them.

Rules: everything is on the loopback interface, of which each attacker has an address of
its own. The last labels of a name say what it stands for.
"""

import asyncio
from typing import Any, cast

from msgspec import Struct
from twisted.names import dns

LOOPBACK = "127.0.0.1"

_TTL = 300
STUCK_NETWORK, KEYS_NETWORK = 66, 77
_NETWORK_SIZE = 50  # addresses of each

_TARGETS = 20  # SRV targets of a wide name, with so many addresses each
_ADDRESSES = 8


def network(number: int) -> list[str]:
    """The addresses of a network of the attackers."""
    return [f"127.{number}.0.{each + 1}" for each in range(_NETWORK_SIZE)]


def victims(row: int) -> list[str]:
    """The addresses of a third party to which one SRV target leads."""
    return [f"127.88.{row}.{column + 1}" for column in range(_ADDRESSES)]


def all_victims() -> list[str]:
    """Those of all targets of a wide name."""
    return [address for row in range(_TARGETS) for address in victims(row)]


class Ports(Struct, frozen=True):
    """Where the attackers' servers listen, each at addresses of its own."""

    names: int
    keys: int
    """Key documents for every name, and no answer to anything else."""

    stuck: int
    """Accepts connections, and says nothing."""

    victim: int
    """The same of a third party, to which names lead."""


class Zone:
    """The records of the name server."""

    def __init__(self, ports: Ports, honest: dict[str, int]) -> None:
        """`honest` has the ports of servers that are no attackers."""
        self._ports = ports
        self._honest = honest

    def records(self, name: str, kind: int) -> list[dns.RRHeader] | None:
        """The records of one type at a name; None where the server stays silent."""
        labels = name.lower().split(".")
        what = labels[-2] if len(labels) > 1 else ""
        if what == "mute":
            return None
        if kind == dns.A:
            return [_a(name, each) for each in self._addresses(labels, what)]
        if kind == dns.SRV and labels[:2] == ["_matrix", "_tcp"]:
            target = ".".join(labels[2:])
            return [_srv(name, *each) for each in self._services(target, what)]
        return []

    def _addresses(self, labels: list[str], what: str) -> list[str]:
        if ".".join(labels) in self._honest:
            return [LOOPBACK]
        if what == "wide" and labels[0].startswith("t"):
            return victims(int(labels[0][1:]))
        if what in {"stuck", "keys"}:
            # Names that differ in nothing but a number are all over a network.
            number = int("".join(filter(str.isdigit, labels[0])) or 0)
            found = network(STUCK_NETWORK if what == "stuck" else KEYS_NETWORK)
            return [found[number % len(found)]]
        return []

    def _services(self, target: str, what: str) -> list[tuple[int, str]]:
        if target in self._honest:
            return [(self._honest[target], target)]
        if what == "wide":
            return [(self._ports.victim, f"t{row}.{target}") for row in range(_TARGETS)]
        if what in {"stuck", "keys"}:
            port = self._ports.stuck if what == "stuck" else self._ports.keys
            return [(port, target)]
        return []


class NameServer(asyncio.DatagramProtocol):
    """Answers from the zone, over UDP."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio: the socket is open."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer a question, unless it is about a mute name."""
        self.asked += 1
        message = dns.Message()
        message.fromStr(data)
        [query] = message.queries
        name = query.name.name.decode("ascii", "replace")
        records = self._zone.records(name, query.type)
        if records is None:
            return
        answer = dns.Message(message.id, answer=1, recDes=1, recAv=1, maxSize=0)
        answer.queries = message.queries
        answer.answers = records
        if not records:
            soa = dns.Record_SOA(b"ns.test", b"root.test", minimum=_TTL)
            answer.authority = [dns.RRHeader(b"test", dns.SOA, ttl=_TTL, payload=soa)]
        self._transport.sendto(answer.toStr(), addr)


def _a(name: str, address: str) -> dns.RRHeader:
    return dns.RRHeader(name, dns.A, ttl=_TTL, payload=dns.Record_A(address))


def _srv(name: str, port: int, target: str) -> dns.RRHeader:
    record = dns.Record_SRV(0, 0, port, target)
    return dns.RRHeader(name, dns.SRV, ttl=_TTL, payload=record)

"""A lab's name server that listens, and questions to it as bytes."""

import socket
import struct
from dataclasses import dataclass, field

from twisted.names import dns

from homeserver.lab.dns_server.records import Record
from homeserver.lab.dns_server.server import Answered, DnsServer, Responder
from homeserver.net.addresses import SocketAddress
from tests.support.waiting import reactor, wait_for_thread

RECORDS = [
    Record("a.lab.test", "A", "127.0.0.1"),
    Record("a.lab.test", "AAAA", "::1"),
    Record("_matrix-fed._tcp.a.lab.test", "SRV", "10 5 8448 a.lab.test"),
    Record("alias.lab.test", "CNAME", "a.lab.test"),
    *(Record("many.lab.test", "A", f"127.0.0.{n}") for n in range(1, 101)),
]


@dataclass
class Lab:
    """A name server, and what it reports."""

    server: DnsServer
    where: SocketAddress
    answered: list[Answered] = field(default_factory=list)

    def exchange(self, data: bytes, *, by_tcp: bool = False) -> bytes:
        """What a message gets by return, from a socket of the system."""
        return wait_for_thread(lambda: self._talk(data, by_tcp=by_tcp))

    def _talk(self, data: bytes, *, by_tcp: bool) -> bytes:
        kind = socket.SOCK_STREAM if by_tcp else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as talking:
            talking.settimeout(5)
            talking.connect((self.where.host, self.where.port))
            talking.sendall(struct.pack("!H", len(data)) + data if by_tcp else data)
            answer = talking.recv(65535)
            if by_tcp:
                while len(answer) < 2 + struct.unpack("!H", answer[:2])[0]:
                    answer += talking.recv(65535)
            return answer[2:] if by_tcp else answer


def start(responder: Responder, host: str = "127.0.0.1") -> Lab:
    """A name server that listens."""
    answered: list[Answered] = []
    server = DnsServer(responder, reactor, answered.append)
    return Lab(server, server.start(SocketAddress(host, 0)), answered)


def query(name: str, code: int, *, edns: int | None = None, flags: int = 0) -> bytes:
    """The bytes of a question."""
    labels = b"".join(
        bytes([len(part)]) + part for part in name.encode().split(b".") if part
    )
    head = struct.pack("!HHHHHH", 4711, flags | 0x0100, 1, 0, 0, int(edns is not None))
    opt = b"" if edns is None else b"\0" + struct.pack("!HHIH", dns.OPT, edns, 0, 0)
    return head + labels + b"\0" + struct.pack("!HH", code, dns.IN) + opt


def parse(data: bytes) -> dns.Message:
    """A message as twisted.names reads it."""
    message = dns.Message()
    message.fromStr(data)
    return message

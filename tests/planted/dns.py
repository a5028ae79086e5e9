"""Where a homeserver is, by the DNS, with a mistake to switch on.

Rules: as in `server`. Questions are written and answers are read by hand. Of discovery
there are SRV records and IPv4 addresses; no other name leads to a homeserver.
"""

import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass

_A, _SRV, _IN = 1, 33, 1
_SECONDS = 120.0
_DEFAULT_PORT = 8448

Address = tuple[str, int]
"""A host's address, and a port."""


def look_up(name: str, dns: str, faults: frozenset[str] = frozenset()) -> list[Address]:
    """Where the homeserver of a name without a port is, the best first.

    `dns` is the address of a name server. Raises `OSError` without an answer.
    """
    found: list[Address] = []
    if "srv-ignored" not in faults:
        records = _ask(f"_matrix-fed._tcp.{name}", _SRV, dns)
        records = records or _ask(f"_matrix._tcp.{name}", _SRV, dns)
        for data, host in sorted(records):  # by priority, then weight
            found += addresses(host, int.from_bytes(data[4:6], "big"), dns)
    return found or addresses(name, _DEFAULT_PORT, dns)


def addresses(host: str, port: int, dns: str) -> list[Address]:
    """The addresses of a host; raises `OSError` without an answer."""
    return [(socket.inet_ntoa(data), port) for data, _ in _ask(host, _A, dns)]


def _ask(name: str, kind: int, dns: str) -> list[tuple[bytes, str]]:
    """The records of a kind in an answer: their data, and the host of an SRV record."""
    host, _, port = dns.rpartition(":")
    labels = [label.encode() for label in name.rstrip(".").split(".")]
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    head = secrets.token_bytes(2) + bytes([1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    question = head + encoded + kind.to_bytes(2, "big") + _IN.to_bytes(2, "big")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(_SECONDS)
        connection.sendto(question, (host, int(port)))
        answer = connection.recv(4096)
    assert answer[:2] == question[:2]
    return list(_Reader(answer, len(question)).records(kind))


@dataclass
class _Reader:
    """Reads an answer from behind its question on."""

    answer: bytes
    position: int

    def records(self, kind: int) -> Iterator[tuple[bytes, str]]:
        for _ in range(int.from_bytes(self.answer[6:8], "big")):
            _, self.position = self._name(self.position)
            head = self.answer[self.position : self.position + 10]
            start = self.position + 10
            self.position = start + int.from_bytes(head[8:], "big")
            if int.from_bytes(head[:2], "big") == kind:
                host = self._name(start + 6)[0] if kind == _SRV else ""
                yield self.answer[start : self.position], host

    def _name(self, start: int) -> tuple[str, int]:
        """A name, and what follows it."""
        labels: list[str] = []
        while length := self.answer[start]:
            if length >= 0xC0:
                place = int.from_bytes(self.answer[start : start + 2], "big") & 0x3FFF
                rest, _ = self._name(place)
                return ".".join([*labels, rest]), start + 2
            labels.append(self.answer[start + 1 : start + 1 + length].decode())
            start += 1 + length
        return ".".join(labels), start + 1

"""DNS messages as a name server reads and writes them.

Rules: a query has one question, whose name has no compression, and at most one OPT
record. An answer repeats the bytes of the question, because clients compare the case of
its letters. A record is sent whole or not at all: an answer that is too long for its
way has none and says so (TC).

Specification: RFC 1035, section 4; RFC 6891 for EDNS; RFC 9619 for the one question.
"""

import struct
from collections.abc import Sequence
from io import BytesIO

from msgspec import Struct
from twisted.names import dns

from homeserver.lab.dns_server.zone import Question, Reply

_HEADER = struct.Struct("!HHHHHH")
_TYPE_AND_CLASS = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")

_RESPONSE, _AUTHORITATIVE, _TRUNCATED = 1 << 15, 1 << 10, 1 << 9
_RECURSION_DESIRED, _RECURSION_AVAILABLE = 1 << 8, 1 << 7

_PLAIN_UDP_BYTES = 512  # RFC 1035, section 4.2.1: where a client says nothing else
_UDP_BYTES = 1232  # what fits everywhere into one packet (DNS flag day of 2020)

_BAD_VERSION = 16  # RFC 6891, section 6.1.3: in the OPT record, beyond four bits


class Query(Struct, frozen=True):
    """A message that asks something, as far as it could be read."""

    id: int
    flags: int
    question: bytes = b""
    """The question as it came; empty where the message has none that is valid."""

    labels: tuple[bytes, ...] = ()
    """The name in the question."""

    code: int = 0
    record_class: int = dns.IN
    udp_bytes: int | None = None
    """How long an answer by UDP may be; None for a client without EDNS."""

    edns_version: int = 0

    @property
    def operation(self) -> int:
        """What kind of message it is; 0 is a query."""
        return self.flags >> 11 & 0b1111

    def asked(self, address: str, *, by_tcp: bool) -> Question:
        """The question as the zone is asked it."""
        name = _written(self.labels)
        return Question(
            name.decode("latin-1").lower(), name, self.code, address, by_tcp
        )


def _written(labels: Sequence[bytes]) -> bytes:
    """A name in text; no name of a zone has a dot inside a label."""
    return b".".join(label.replace(b".", b"\\.") for label in labels)


def parse_query(data: bytes) -> Query | None:
    """Read a message; None for one that gets no answer: a reply, or not even a head.

    Where the rest is malformed, `question` is empty.
    """
    if len(data) < _HEADER.size:
        return None
    query_id, flags, questions, answers, authority, additional = _HEADER.unpack_from(
        data
    )
    if flags & _RESPONSE:
        return None  # two name servers could answer one another for ever
    if (questions, answers, authority) != (1, 0, 0):
        return Query(query_id, flags)
    try:
        labels, end = _read_name(data, _HEADER.size)
        code, record_class = _TYPE_AND_CLASS.unpack_from(data, end)
        end += _TYPE_AND_CLASS.size
        udp_bytes, version = _read_edns(data, end, additional)
    except (ValueError, IndexError, struct.error):
        return Query(query_id, flags)
    question = data[_HEADER.size : end]
    return Query(
        query_id, flags, question, labels, code, record_class, udp_bytes, version
    )


def _read_name(data: bytes, start: int) -> tuple[tuple[bytes, ...], int]:
    """The labels of a name, and where it ends; raises `ValueError`."""
    labels: list[bytes] = []
    while length := data[start]:
        label = data[start + 1 : start + 1 + length]
        if length > 63 or len(label) < length:
            raise ValueError("a compressed name, or one that is cut off")
        labels.append(label)
        start += 1 + length
    if sum(map(len, labels)) + len(labels) > 254:
        raise ValueError("a name of more than 255 bytes")
    return tuple(labels), start + 1


def _read_edns(data: bytes, start: int, count: int) -> tuple[int | None, int]:
    """The size and the version in the OPT record, if there is one."""
    found: tuple[int | None, int] = None, 0
    for _ in range(count):
        _, start = _read_name(data, start)
        code, size, extended, length = _RECORD.unpack_from(data, start)
        start += _RECORD.size + length
        if start > len(data):
            raise ValueError("a record that is cut off")
        if code == dns.OPT:
            if found[0] is not None:
                raise ValueError("two OPT records")
            found = size, extended >> 16 & 0xFF
    return found


def refusal(query: Query) -> int | None:
    """The response code for a query that no zone is asked; None for any other."""
    if query.operation != dns.OP_QUERY:
        return dns.ENOTIMP
    if not query.question:
        return dns.EFORMAT
    if query.edns_version:
        return _BAD_VERSION
    if query.record_class not in {dns.IN, dns.ANY} or query.code in {
        dns.AXFR,
        dns.IXFR,
    }:
        return dns.EREFUSED
    return None


def build_response(query: Query, reply: Reply, *, by_tcp: bool) -> tuple[bytes, Reply]:
    """The bytes of an answer, and what they say: one that is too long is truncated."""
    limit = 0xFFFF if by_tcp else _udp_limit(query)
    if not reply.is_truncated:
        whole = _encode(query, reply)
        if len(whole) <= limit:
            return whole, reply
    truncated = Reply(code=reply.code, is_truncated=True)
    return _encode(query, truncated), truncated


def _udp_limit(query: Query) -> int:
    if query.udp_bytes is None:
        return _PLAIN_UDP_BYTES
    return max(_PLAIN_UDP_BYTES, min(query.udp_bytes, _UDP_BYTES))


def _encode(query: Query, reply: Reply) -> bytes:
    additional = [] if query.udp_bytes is None else [_edns(reply.code)]
    flags = (
        _RESPONSE
        | query.flags & (0b1111 << 11 | _RECURSION_DESIRED)
        | _RECURSION_AVAILABLE
        | reply.code & 0b1111
    )
    if reply.code in {dns.OK, dns.ENAME}:
        flags |= _AUTHORITATIVE
    if reply.is_truncated:
        flags |= _TRUNCATED
    body = BytesIO()
    body.write(query.question)
    offsets: dict[bytes, int] = {}
    end = _HEADER.size
    for n, label in enumerate(query.labels):
        offsets[_written(query.labels[n:])] = end
        end += 1 + len(label)
    for record in (*reply.records, *reply.authority, *additional):
        record.encode(body, offsets)
    counts = len(reply.records), len(reply.authority), len(additional)
    questions = 1 if query.question else 0
    return _HEADER.pack(query.id, flags, questions, *counts) + body.getvalue()


def _edns(code: int) -> dns.RRHeader:
    return dns.RRHeader(
        b"", dns.OPT, _UDP_BYTES, code >> 4 << 24, dns.UnknownRecord(b"")
    )

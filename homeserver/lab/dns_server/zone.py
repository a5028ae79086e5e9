"""Every name that a lab's name server knows, and the right answer to each question.

Rules: it is the only name server of a server under test and plays the root, so a name
that has no record does not exist. A name above one with records exists (RFC 8020).
"No such record" and "no such name" come with the SOA record that says that they hold
for no time. Aliases are followed; the response code is that of the last name.

Specification: RFC 1034, section 4.3.2; RFC 2308; RFC 6604 for the code of aliases.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct
from twisted.names import dns

from homeserver.lab.dns_server.records import Record, parse_name
from homeserver.protocol.errors import InvalidParam

_MAX_ALIASES = 16  # followed for one question; more are a loop

# Of one name, so that they fit into one message: 65,535 bytes over TCP.
_MAX_RECORDS = 100

_ANY = dns.ALL_RECORDS


class Question(Struct, frozen=True):
    """What a client asked."""

    name: str
    """In lower case, without the last dot."""

    written: bytes
    """The name as it came: clients may compare the case of its letters."""

    code: int
    """The number of the record type."""

    address: str
    """The client's, with its port: `127.0.0.1:40000`."""

    by_tcp: bool

    @property
    def type(self) -> str:
        """The record type, such as `SRV`; `TYPE65` where it has no name here."""
        return dns.QUERY_TYPES.get(self.code) or dns.EXT_QUERIES.get(
            self.code, f"TYPE{self.code}"
        )


class Reply(Struct, frozen=True):
    """What a question is answered with."""

    records: Sequence[dns.RRHeader] = ()
    authority: Sequence[dns.RRHeader] = ()
    code: int = dns.OK
    is_truncated: bool = False
    """Whether the answer sends the client to TCP; then no record is sent."""


class Zone:
    """Records by name."""

    def __init__(self, apex: str) -> None:
        """`apex` is the name below which the lab names its servers."""
        self.apex = parse_name(apex, member="zone")
        self._records: dict[str, tuple[Record, ...]] = {}
        # How many names with records are below each name.
        self._below: dict[str, int] = {}
        self._names = 0

    def __len__(self) -> int:
        """How many names have records."""
        return self._names

    def add(self, records: Iterable[Record]) -> None:
        """Serve more records; raises `InvalidParam`, and then serves none of them."""
        records = list(records)
        for record in records:
            record.check()
        counts = Counter(parse_name(record.name) for record in records)
        for name, count in counts.items():
            if count + len(self._records.get(name, ())) > _MAX_RECORDS:
                raise InvalidParam(f"{name} has more than {_MAX_RECORDS} DNS records")
        for record in records:
            name = parse_name(record.name)
            if name not in self._records:
                self._count(name, 1)
            self._records[name] = (*self._records.get(name, ()), record)

    def remove(self, records: Iterable[Record]) -> None:
        """Serve some records no more; those that are not served are no mistake."""
        for record in records:
            name = parse_name(record.name)
            left = list(self._records.get(name, ()))
            if record in left:
                left.remove(record)
                self._records[name] = tuple(left)
                if not left:
                    del self._records[name]
                    self._count(name, -1)

    def _count(self, name: str, change: int) -> None:
        self._names += change
        while name:
            _, _, name = name.partition(".")
            count = self._below.get(name, 0) + change
            if count:
                self._below[name] = count
            else:
                del self._below[name]

    def records(self, name: str) -> Sequence[Record]:
        """The records of a name."""
        return self._records.get(parse_name(name), ())

    def known(self, name: str) -> Sequence[Record]:
        """The records of a name in lower case, whether or not it is a DNS name."""
        return self._records.get(name, ())

    def answer(self, question: Question) -> Reply:
        """The right answer."""
        name, owner = question.name, question.written
        found: list[dns.RRHeader] = []
        for _ in range(_MAX_ALIASES):
            here = self._records.get(name, ())
            wanted = [record for record in here if question.code in {record.code, _ANY}]
            if wanted:
                found += [record.header(owner) for record in wanted]
                return Reply(found)
            aliases = [record for record in here if record.code == dns.CNAME]
            if not aliases:
                code = dns.OK if self._exists(name) else dns.ENAME
                return Reply(found, [self._soa(name)], code)
            header = aliases[0].header(owner)
            found.append(header)
            name = parse_name(aliases[0].value)
            owner = name.encode("ascii")
        return Reply(found)

    def is_ours(self, name: str) -> bool:
        """Whether a host is known here, or would be: it is below the apex."""
        return self._is_below(name) or self._exists(name)

    def _is_below(self, name: str) -> bool:
        return name == self.apex or name.endswith(f".{self.apex}")

    def _exists(self, name: str) -> bool:
        return name in {self.apex, ""} or name in self._records or name in self._below

    def _soa(self, name: str) -> dns.RRHeader:
        """The start of the zone that a name is in: ours, or the root."""
        payload = dns.Record_SOA(
            f"ns.{self.apex}", f"hostmaster.{self.apex}", 1, 3600, 600, 86400, 0, ttl=0
        )
        owner = self.apex if self._is_below(name) else ""
        return dns.RRHeader(owner, dns.SOA, ttl=0, payload=payload, auth=True)

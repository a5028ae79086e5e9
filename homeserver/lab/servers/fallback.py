"""Requests that came to the default port although SRV records lead to another one.

Rules: what a client was told counts, beside what the zone has: a rule of the lab may
answer otherwise, and records may change while a client remembers those of before. In
doubt there is no remark.

Specification: Server-server API, "Resolving server names".
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence

from twisted.names import dns

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer
from homeserver.lab.dns_server.server import Answered
from homeserver.lab.dns_server.zone import Zone
from homeserver.lab.servers.server import SERVICES, LabServer
from homeserver.net.bounded_map import BoundedMap
from homeserver.net.exchange import Exchange
from homeserver.protocol.diagnosis.fallback import remark_on_fallback
from homeserver.protocol.discovery import SrvRecord
from homeserver.protocol.identifiers import DEFAULT_PORT
from homeserver.protocol.remarks import Remark

_MAX_TOLD = 20_000  # both services of ten thousand servers


class Fallback:
    """Remarks on requests that came by fallback."""

    def __init__(self, zone: Zone, find: Callable[[str], LabServer | None]) -> None:
        """`find` returns the server of a name; None if there is none."""
        self._zone = zone
        self._find = find
        self._told: BoundedMap[str, Sequence[SrvRecord]] = BoundedMap(_MAX_TOLD)

    def note(self, answered: Answered) -> None:
        """Note what a client was told that asked for the SRV records of a host."""
        question, reply = answered.question, answered.reply
        if question.code != dns.SRV or (reply is not None and reply.is_truncated):
            return  # after a truncated answer the client asks again
        _, _, host = question.name.partition("._tcp.")
        if host and self._zone.is_ours(host):
            records = () if reply is None else reply.records
            self._told[question.name] = list(_srv_records(records))

    def wrap(self, answer: Answer) -> Answer:
        """The same answer, with the remark in the exchange of the request."""

        def answer_with_remark(request: Request) -> Reply | Awaitable[Reply]:
            exchange = request.exchange
            if exchange.port == DEFAULT_PORT:
                host = request.getHeader(b"Host") or b""
                remark = self._remark(exchange, host.decode("ascii", "replace"))
                if remark is not None:
                    exchange.remarks = [*exchange.remarks, remark]
            return answer(request)

        return answer_with_remark

    def _remark(self, exchange: Exchange, host: str) -> Remark | None:
        server = self._find(exchange.server)
        if server is None or exchange.connected < server.records_since:
            return None
        delegated = server.delegate_to
        if delegated is not None and delegated.port == DEFAULT_PORT:
            return None  # and this client keeps the name as `Host`
        asked = next(
            (n for n in (server.name, delegated) if n and n.name == host), None
        )
        if asked is None or asked.is_ip:
            return None
        records: list[SrvRecord] = []
        for service in SERVICES:
            name = f"{service}.{asked.host.lower()}"
            ours = list(_srv_records(r.header(b"") for r in self._zone.known(name)))
            told = self._told.get(name, ours)
            if ours and not told:
                return None
            records += [*ours, *told]
        return remark_on_fallback(asked, exchange.port, records)


def _srv_records(
    headers: Iterator[dns.RRHeader] | Sequence[dns.RRHeader],
) -> Iterator[SrvRecord]:
    for header in headers:
        payload: object = header.payload
        if isinstance(payload, dns.Record_SRV):
            target = payload.target.name.decode("ascii", "replace") or "."
            yield SrvRecord(payload.priority, payload.weight, payload.port, target)

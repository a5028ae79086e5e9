"""Measurements within this process: work without a server around it."""

import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import cast

from nacl.signing import SigningKey
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IResolver
from twisted.internet.task import Clock
from twisted.names import dns

from homeserver.lab.record.record import Record
from homeserver.net.cause import OURSELVES
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.discovery.resolver import Resolver
from homeserver.outbound.discovery.well_known import WellKnown
from homeserver.outbound.transport.budget import Budgets
from homeserver.outbound.transport.dialer import Dialer
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName
from scripts.benchmarks.table import LIBSODIUM, OURS, Row, Sample
from tests.support.exchanges import exchange

_ROUND_SECONDS = 0.2  # of CPU time


_KEY = SigningKey.generate()
_SIGNED = _KEY.sign(b"x" * 500)


def verifications() -> Row:
    """One ed25519 signature, by libsodium alone, to compare machines."""
    return Row(
        "verify a signature of 500 bytes",
        "us CPU",
        {LIBSODIUM: partial(verification, 1)},
    )


def verification(signatures: int, _: int) -> Sample:
    """The time of so many signatures: no server that verifies them takes less."""

    def work(times: int) -> None:
        for _ in range(times):
            _KEY.verify_key.verify(_SIGNED)

    return Sample(signatures * _microseconds(work))


class _Zone:
    """A DNS client that finds one SRV record for each service of 2014."""

    def lookupService(self, name: str, timeout: object) -> Deferred[object]:
        records = []
        if name.startswith("_matrix._tcp."):
            record = dns.Record_SRV(10, 0, 8448, "target.test")
            records.append(dns.RRHeader(name, dns.SRV, ttl=3600, payload=record))
        soa = dns.RRHeader(name, dns.SOA, ttl=3600, payload=dns.Record_SOA(minimum=300))
        return succeed((records, [soa], []))


class _Nowhere:
    """A dialer that finds no address, so that no host has a well-known."""

    async def addresses(self, host: str, cause: object) -> list[str]:
        raise LookupFailed(f"{host} has no address")


def resolutions() -> Row:
    """A thousand names whose well-known and SRV records were looked up before."""
    clock = Clock()
    lookups = DnsLookups(cast("IResolver", _Zone()), None, clock)
    well_known = WellKnown(
        cast("Dialer", _Nowhere()), Budgets(clock, lambda _: False), clock
    )
    services = ["_matrix-fed._tcp", "_matrix._tcp"]
    resolver = Resolver(lookups, well_known, services, Random(1))  # noqa: S311 - order
    names = [ServerName.parse(f"s{number}.test") for number in range(1000)]

    def work(times: int) -> None:
        for number in range(times):
            resolving = resolver.resolve(names[number % len(names)], OURSELVES)
            done = cast("Deferred[object]", Deferred.fromCoroutine(resolving))
            if not done.called:
                raise RuntimeError("the cache is cold")

    work(len(names))
    return Row(
        "resolve a name, warm cache",
        "us CPU",
        {OURS: lambda _: Sample(_microseconds(work))},
    )


def recordings(count: int = 10_000) -> Row:
    """An exchange with a body, kept in the record of a lab."""
    body = b'{"pdus":[' + b",".join([b'{"room_id":"!a:b.test"}'] * 50) + b"]}"

    def measure(_: int) -> Sample:
        made = [exchange(body) for _ in range(count)]
        record = Record(Clock())
        begun = time.process_time()
        for each in made:
            record.add(each)
        return Sample((time.process_time() - begun) / count * 1e6)

    return Row("record an exchange", "us CPU", {OURS: measure})


def _microseconds(work: Callable[[int], None]) -> float:
    """CPU time of one operation, over one round; `work` does it so many times."""
    times = 1
    while True:
        begun = time.process_time()
        work(times)
        took = time.process_time() - begun
        if took >= _ROUND_SECONDS:
            return took / times * 1e6
        times = max(times * 2, int(times * _ROUND_SECONDS / max(took, 1e-6)))

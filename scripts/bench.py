"""What things cost: CPU time per operation, beside what cannot be had for less.

Rounds of all rows take turns, so that whatever else the machine does meets all of them
alike. The first row calibrates: libsodium's verification of one signature. Compare the
last column between machines, and the others only within one run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import cast

import click
from nacl.signing import SigningKey
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IResolver
from twisted.internet.task import Clock
from twisted.names import dns

from homeserver.outbound.dialer import Dialer
from homeserver.outbound.dns import DnsLookups
from homeserver.outbound.resolver import Resolver
from homeserver.outbound.well_known import WellKnown
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.names import ServerName

_ROUND_SECONDS = 0.2  # of CPU time, for each row


@dataclass(frozen=True)
class Row:
    """One thing that is measured."""

    what: str
    work: Callable[[int], None]
    """Does it so many times."""


def verifications() -> Row:
    """One ed25519 signature, by libsodium alone."""
    key = SigningKey.generate()
    signed = key.sign(b"x" * 500)

    def work(times: int) -> None:
        for _ in range(times):
            key.verify_key.verify(signed)

    return Row("verify a signature of 500 bytes (libsodium)", work)


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

    async def addresses(self, host: str) -> list[str]:
        raise LookupFailed(f"{host} has no address")


def resolutions() -> Row:
    """A thousand names whose well-known and SRV records were looked up before."""
    clock = Clock()
    lookups = DnsLookups(cast("IResolver", _Zone()), None, clock)
    well_known = WellKnown(cast("Dialer", _Nowhere()), clock)
    services = ["_matrix-fed._tcp", "_matrix._tcp"]
    resolver = Resolver(lookups, well_known, services, Random(1))  # noqa: S311 - order
    names = [ServerName.parse(f"s{number}.test") for number in range(1000)]

    def work(times: int) -> None:
        for number in range(times):
            resolving = resolver.resolve(names[number % len(names)])
            done = cast("Deferred[object]", Deferred.fromCoroutine(resolving))
            if not done.called:
                raise RuntimeError("the cache is cold")

    work(len(names))
    return Row("resolve a name, warm cache (well-known, two services)", work)


def _microseconds(row: Row) -> float:
    """CPU time of one operation, over one round."""
    times = 1
    while True:
        begun = time.process_time()
        row.work(times)
        took = time.process_time() - begun
        if took >= _ROUND_SECONDS:
            return took / times * 1e6
        times = max(times * 2, int(times * _ROUND_SECONDS / max(took, 1e-6)))


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Of each row.")
def main(rounds: int) -> None:
    """Measure, and print one table."""
    rows = [verifications(), resolutions()]
    taken: dict[str, list[float]] = {row.what: [] for row in rows}
    for _ in range(rounds):
        for row in rows:
            taken[row.what].append(_microseconds(row))
    unit = median(taken[rows[0].what])
    print(f"{'':55} {'us CPU':>9} {'spread':>7} {'a second':>9} {'ratio':>7}")
    for what, each in taken.items():
        middle = median(each)
        spread = (max(each) - min(each)) / middle
        print(
            f"{what:55} {middle:9.1f} {spread:7.0%} {1e6 / middle:9.0f}"
            f" {middle / unit:7.2f}"
        )


if __name__ == "__main__":
    main()

"""D: each check of addresses has a fault that turns it red."""

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from homeserver.net.cause import Cause
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.protocol import discovery
from homeserver.protocol.discovery import (
    Algorithm,
    LookupFailed,
    Lookups,
    NotResolvable,
    Resolution,
    Route,
    SrvRecord,
)
from homeserver.protocol.identifiers import ServerName
from tests.conformance.faulty import Row, check_row, patched
from tests.support.conformance_stage import Fault, Stage

_resolve = discovery.resolve
_ask_dns = DnsLookups._ask_dns

_Draw = Callable[[int], int]


def _routes(change: Callable[[ServerName, Route], Route]) -> Fault:
    """The routes to each server, changed."""

    async def resolve(
        name: ServerName, lookups: Lookups, algorithm: Algorithm, draw: _Draw
    ) -> Resolution:
        found = await _resolve(name, lookups, algorithm, draw)
        return replace(found, routes=[change(name, each) for each in found.routes])

    return patched({"homeserver.protocol.discovery.resolve": resolve})


def _is_bare(route: Route) -> bool:
    """Whether it leads to an address of IPv4 that is written without a port."""
    return route.host_header == route.host and route.host[0].isdigit()


def _named_at_443(name: ServerName, route: Route) -> Route:
    return replace(route, port=443) if name.is_ip and _is_bare(route) else route


def _delegated_at_443(name: ServerName, route: Route) -> Route:
    return replace(route, port=443) if not name.is_ip and _is_bare(route) else route


def _without_port(_: ServerName, route: Route) -> Route:
    if ":" in route.host:
        return replace(route, host_header=f"[{route.host}]")
    return route


def _addresses(choose: Callable[[list[str]], list[str]]) -> Fault:
    """Some addresses of names alone."""

    async def ask(lookups: DnsLookups, host: str, cause: Cause) -> list[str]:
        return choose(await _ask_dns(lookups, host, cause))

    return patched({"homeserver.outbound.discovery.dns.DnsLookups._ask_dns": ask})


def _by_ipv4(addresses: list[str]) -> list[str]:
    return [each for each in addresses if ":" not in each]


def _by_ipv6_first(addresses: list[str]) -> list[str]:
    return [each for each in addresses if ":" in each] or addresses


def _first_of_each(addresses: list[str]) -> list[str]:
    return [*_by_ipv4(addresses)[:1], *(each for each in addresses if ":" in each)]


class _Impatient:
    """Look-ups that take a silent port for the end."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def well_known(self, host: str) -> ServerName:
        try:
            return await self._lookups.well_known(host)
        except LookupFailed as problem:
            if "no complete answer" not in str(problem):
                raise
            raise NotResolvable(str(problem), []) from None

    async def srv(self, name: str) -> Sequence[SrvRecord]:
        return await self._lookups.srv(name)


async def _impatient(
    name: ServerName, lookups: Lookups, algorithm: Algorithm, draw: _Draw
) -> Resolution:
    return await _resolve(name, _Impatient(lookups), algorithm, draw)


ROWS: list[Row] = [
    ("443 of an address", _routes(_named_at_443), {"D03"}),
    ("443 of an address in a document", _routes(_delegated_at_443), {"D10"}),
    ("Host of IPv6 without the port", _routes(_without_port), {"D04"}),
    ("no IPv6", _addresses(_by_ipv4), {"D33"}),
    ("IPv6 or nothing", _addresses(_by_ipv6_first), {"D34"}),
    ("first address alone", _addresses(_first_of_each), {"D35"}),
    (
        "a silent port ends it",
        patched(
            {
                "homeserver.outbound.discovery.well_known._SECONDS": 5.0,
                "homeserver.protocol.discovery.resolve": _impatient,
            }
        ),
        {"D43"},
    ),
]


@pytest.mark.parametrize(("name", "fault", "expected"), ROWS)
def test_a_fault_turns_its_checks_red(
    on_stage: Stage, name: str, fault: Fault, expected: set[str]
) -> None:
    """It turns them red, and no others of this area."""
    area = ["D0*", "D1*", "D33", "D34", "D35"]
    if "D43" in expected:
        area = ["D14", "D15", "D43"]  # its time is short
    check_row(on_stage, fault, expected, area)

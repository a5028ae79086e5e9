"""D: each check of names, addresses and SRV has a fault that turns it red."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from homeserver.conformance.registry import all_checks
from homeserver.protocol import discovery
from homeserver.protocol.discovery import (
    Algorithm,
    LookupFailed,
    Lookups,
    Resolution,
    SrvRecord,
)
from homeserver.protocol.identifiers import ServerName
from tests.conformance.faulty import Row, fault_test, patched
from tests.support.conformance_stage import Fault

_resolve = discovery.resolve
_order = discovery.order

_Draw = Callable[[int], int]


def _services(*services: str) -> Fault:
    """Other services are looked up."""

    async def resolve(
        name: ServerName, lookups: Lookups, algorithm: Algorithm, draw: _Draw
    ) -> Resolution:
        return await _resolve(
            name, lookups, replace(algorithm, services=services), draw
        )

    return patched({"homeserver.protocol.discovery.resolve": resolve})


async def _srv_first(
    name: ServerName, lookups: Lookups, algorithm: Algorithm, draw: _Draw
) -> Resolution:
    with suppress(LookupFailed):
        if not name.is_ip and await lookups.srv(f"_matrix-fed._tcp.{name.host}"):
            name = ServerName.parse(name.host)
    return await _resolve(name, lookups, algorithm, draw)


async def _bare_host(
    name: ServerName, lookups: Lookups, algorithm: Algorithm, draw: _Draw
) -> Resolution:
    found = await _resolve(name, lookups, algorithm, draw)
    host = f"[{name.host}]" if ":" in name.host else name.host
    routes = [replace(each, host_header=host) for each in found.routes]
    return replace(found, routes=routes)


def _ordered(order: Callable[[Sequence[SrvRecord], _Draw], object]) -> Fault:
    return patched({"homeserver.protocol.discovery.order": order})


def _highest_number(records: Sequence[SrvRecord], draw: _Draw) -> Sequence[SrvRecord]:
    return _order([replace(e, priority=65535 - e.priority) for e in records], draw)


def _heaviest(records: Sequence[SrvRecord], _: _Draw) -> Sequence[SrvRecord]:
    return sorted(records, key=lambda each: (each.priority, -each.weight))


_FED, _OLD = "_matrix-fed._tcp", "_matrix._tcp"

ROWS: list[Row] = [
    (
        "SRV for a name with a port",
        patched({"homeserver.protocol.discovery.resolve": _srv_first}),
        {"D01"},
    ),
    (
        "Host without the port",
        patched({"homeserver.protocol.discovery.resolve": _bare_host}),
        {*(f"D0{number}" for number in (1, 2, 4, 5, 6, 7, 8, 9)), "D10", "D15", "D17"}
        | {"D32", "D33", "D34", "D35"}
        | {f"D18{letter}" for letter in "abcdef"},
    ),
    (
        "old service alone",
        _services(_OLD),
        {"D06", "D11", "D13", "D26", "D27", "D29", "D30"},
    ),
    ("new service alone", _services(_FED), {"D07", "D12"}),
    ("old service first", _services(_OLD, _FED), {"D13"}),
    ("highest number first", _ordered(_highest_number), {"D26"}),
    ("first target alone", _ordered(lambda r, d: _order(r, d)[:1]), {"D27", "D29"}),
    ("heaviest always", _ordered(_heaviest), {"D44"}),
    (
        "no alias of an alias",
        patched({"homeserver.outbound.discovery.records._MAX_ALIASES": 1}),
        {"D32"},
    ),
    (
        "another path of keys",
        patched({"homeserver.outbound.client.V2_PATH": "/_matrix/key/v2/server?v=2"}),
        {"D46"},
    ),
]


# D44 asks for forty names, and others wait; the faults here do not matter to them.
_SLOW = ["D44", *(each.id for each in all_checks().values() if each.waits)]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["D"], _SLOW)

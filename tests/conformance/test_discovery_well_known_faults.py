"""D: each check of well-known documents has a fault that turns it red."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from homeserver.outbound.discovery import well_known
from homeserver.outbound.transport.connection import Get
from homeserver.outbound.transport.dialer import Target
from homeserver.outbound.transport.response import Response
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
from homeserver.protocol.errors import BadJson
from homeserver.protocol.identifiers import ServerName
from tests.conformance.faulty import Row, fault_test, patched
from tests.support.conformance_stage import Fault

_resolve = discovery.resolve
_parse = well_known._parse
_direct = discovery._direct

_Draw = Callable[[int], int]
_Documents = Callable[[Lookups, str], Coroutine[Any, Any, ServerName]]


class _Changed:
    """Look-ups with another one of documents."""

    def __init__(self, lookups: Lookups, documents: _Documents) -> None:
        self._lookups = lookups
        self._documents = documents

    async def well_known(self, host: str) -> ServerName:
        return await self._documents(self._lookups, host)

    async def srv(self, name: str) -> Sequence[SrvRecord]:
        return await self._lookups.srv(name)


def _documents(documents: _Documents) -> Fault:
    """Documents are looked up in another way."""

    async def resolve(
        name: ServerName, lookups: Lookups, algorithm: Algorithm, draw: _Draw
    ) -> Resolution:
        return await _resolve(name, _Changed(lookups, documents), algorithm, draw)

    return patched({"homeserver.protocol.discovery.resolve": resolve})


async def _or_end(lookups: Lookups, host: str) -> ServerName:
    try:
        return await lookups.well_known(host)
    except LookupFailed as problem:
        raise NotResolvable(str(problem), []) from None


async def _again(lookups: Lookups, host: str) -> ServerName:
    found = await lookups.well_known(host)
    if found.port is None and not found.is_ip:
        with suppress(LookupFailed):
            return await lookups.well_known(found.host)
    return found


async def _without_port(lookups: Lookups, host: str) -> ServerName:
    found = await lookups.well_known(host)
    return found if found.is_ip else ServerName.parse(found.host)


async def _after_services(lookups: Lookups, host: str) -> ServerName:
    if await lookups.srv(f"_matrix-fed._tcp.{host}"):
        raise LookupFailed("there are records")
    return await lookups.well_known(host)


async def _asks_services(lookups: Lookups, host: str) -> ServerName:
    found = await lookups.well_known(host)
    await lookups.srv(f"_matrix-fed._tcp.{found.host}")
    return found


async def _no_literal(lookups: Lookups, host: str) -> ServerName:
    found = await lookups.well_known(host)
    if found.is_ip:
        raise LookupFailed("an address")
    return found


def _services(*services: str) -> Fault:
    async def resolve(
        name: ServerName, lookups: Lookups, algorithm: Algorithm, draw: _Draw
    ) -> Resolution:
        return await _resolve(
            name, lookups, replace(algorithm, services=services), draw
        )

    return patched({"homeserver.protocol.discovery.resolve": resolve})


def _other_port(name: ServerName, port: int) -> Route:
    return _direct(name, port if name.port else 1)


def _json_alone(fetched: Response) -> ServerName:
    if b"text/plain" in str(list(fetched.headers.getAllRawHeaders())).encode():
        raise BadJson("not JSON")
    return _parse(fetched)


def _other_host(*arguments: Any) -> Get:
    target, _, *others = arguments
    return Get(target, "other.test", *others)


def _any_certificate(*arguments: Any) -> Target:
    addresses, port, name, _, certificate_name = arguments
    return Target(addresses, port, name, False, certificate_name)  # noqa: FBT003


_MODULE = "homeserver.outbound.discovery.well_known"
_WRONG = {f"D16{letter}" for letter in "abcdefghijkl"}
_REDIRECTS = {f"D18{letter}" for letter in "abcdef"}

ROWS: list[Row] = [
    ("no document ends it", _documents(_or_end), {*_WRONG, "D14", "D19"}),
    ("documents of documents", _documents(_again), {"D24"}),
    (
        "port in a document ignored",
        _documents(_without_port),
        {"D05", "D15", "D17", *_REDIRECTS},
    ),
    ("services first", _documents(_after_services), {"D15"}),
    ("services of a name with a port", _documents(_asks_services), {"D25"}),
    ("no literal in a document", _documents(_no_literal), {"D09"}),
    ("old service alone", _services("_matrix._tcp"), {"D06"}),
    ("new service alone", _services("_matrix-fed._tcp"), {"D07"}),
    (
        "another port than 8448",
        patched({"homeserver.protocol.discovery._direct": _other_port}),
        {"D08", "D14"},
    ),
    ("no redirects", patched({f"{_MODULE}._REDIRECTS": frozenset()}), _REDIRECTS),
    ("JSON's type alone", patched({f"{_MODULE}._parse": _json_alone}), {"D17"}),
    (
        "certificates of documents ignored",
        patched(
            {
                "homeserver.net.tls.client.Handshake.problem": None,
                f"{_MODULE}.Target": _any_certificate,
            }
        ),
        {"D23a", "D23b", "D23c"},
    ),
    ("another Host of documents", patched({f"{_MODULE}.Get": _other_host}), {"D45"}),
]

_AREA = [*(f"D0{number}" for number in range(5, 10)), "D14", "D15", "D16*", "D17"]
_AREA += ["D18*", "D19", "D23*", "D24", "D25", "D45"]

test_a_fault_turns_its_checks_red = fault_test(ROWS, _AREA)

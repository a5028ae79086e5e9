"""The attacks of strangers on an endpoint.

Rules: an attack is a coroutine that runs until it is cancelled, at a rate and from
addresses of its own. Results are counted, and do not change an attack.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from itertools import count, cycle
from typing import Any

import nacl.signing
from msgspec import Struct

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey
from homeserver.protocol.xmatrix import FederationRequest
from scripts.sieges.wire import Wire

_NOBODY = SigningKey(KeyId("ed25519:none"), nacl.signing.SigningKey(b"\1" * 32))
_LARGE_BYTES = 12 * 1024 * 1024
_MANY_VALUES = b"[" + b"1," * 250_000 + b"1]"


class Attacker(Struct, frozen=True):
    """The parts that all attacks share."""

    wire: Wire
    key: SigningKey
    """That of all names in `keys.test`."""

    intensity: float
    """Times the rate that each attack has by itself."""

    async def at_rate(self, rate: float, act: Callable[[int], object]) -> None:
        """Act so many times a second, with a number that is never the same."""
        for number in count():
            act(number)
            await asyncio.sleep(1 / (rate * self.intensity))

    def put(
        self,
        origin: str,
        txn_id: str,
        pdus: list[Json] | None = None,
        edus: list[Json] | None = None,
        *,
        is_forged: bool = False,
    ) -> bytes:
        """A transaction of an origin, as it is on the wire."""
        content: Json = {
            "origin": origin,
            "origin_server_ts": 1,
            "pdus": pdus or [],
            "edus": edus or [],
        }
        body = encode(content)
        return self.head(origin, txn_id, content, len(body), is_forged) + body

    def head(
        self,
        origin: str,
        txn_id: str,
        content: Json,
        length: int,
        is_forged: bool,  # noqa: FBT001 - as below
    ) -> bytes:
        """The head of a transaction, signed by the origin's key or by none of its."""
        target = f"/_matrix/federation/v1/send/{txn_id}"
        request = FederationRequest(
            "PUT", target, ServerName.parse(origin), self.wire.name, content
        )
        [authorization] = request.sign([_NOBODY if is_forged else self.key])
        return (
            f"PUT {target} HTTP/1.1\r\nHost: {self.wire.name}\r\n"
            f"Authorization: {authorization}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n"
        ).encode("ascii")


def addresses(network: int, number: int) -> Iterator[str]:
    """So many addresses of one network, again and again."""
    return cycle([f"127.{network}.{each}.1" for each in range(number)])


async def forged_silent(attacker: Attacker) -> None:
    """Forged origins whose servers, or whose name servers, do not answer."""

    def act(number: int) -> None:
        kind = "mute" if number % 3 == 0 else "stuck"
        request = attacker.put(f"n{number}.{kind}.test", f"{number}", is_forged=True)
        attacker.wire.send("forged_silent", "127.1.0.1", request)

    await attacker.at_rate(20.0, act)


async def forged_from_many(attacker: Attacker) -> None:
    """The same, from ten addresses and of as many domains."""
    sources = addresses(2, 10)

    def act(number: int) -> None:
        origin = f"m{number}.d{number % 10}.stuck.test"
        request = attacker.put(origin, f"{number}", is_forged=True)
        attacker.wire.send("forged_from_many", next(sources), request)

    await attacker.at_rate(10.0, act)


async def signed_naming_many(attacker: Attacker) -> None:
    """Proven transactions whose events are of fifty servers that do not answer."""

    def act(number: int) -> None:
        pdus = [_foreign_pdu(50 * number + each) for each in range(50)]
        request = attacker.put(f"s{number % 5}.keys.test", f"many{number}", pdus)
        attacker.wire.send("signed_naming_many", "127.3.0.1", request)

    await attacker.at_rate(1.0, act)


def _foreign_pdu(number: int) -> Json:
    server = f"e{number}.stuck.test"
    return {
        "type": "m.room.message",
        "room_id": f"!r:{server}",
        "sender": f"@user:{server}",
        "origin_server_ts": 1,
        "depth": 1,
        "auth_events": [],
        "prev_events": [],
        "content": {},
        "hashes": {"sha256": "A" * 43},
        "signatures": {server: {"ed25519:1": "A" * 86}},
    }


async def notary(attacker: Attacker) -> None:
    """Queries to the notary about servers that do not answer."""

    def act(number: int) -> None:
        names = [f"q{20 * number + each}.stuck.test" for each in range(20)]
        body = encode({"server_keys": {name: {} for name in names}})
        head = (
            f"POST /_matrix/key/v2/query HTTP/1.1\r\nHost: {attacker.wire.name}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        attacker.wire.send("notary", "127.3.1.1", head.encode("ascii") + body)

    await attacker.at_rate(1.0, act)


async def hanging(attacker: Attacker) -> None:
    """Proven servers that poll presence and do not answer what we send them."""
    servers = max(10, int(1000 * attacker.intensity))

    def act(number: int) -> None:
        poll: Json = {"poll": [f"@user:{attacker.wire.name}"], "push": []}
        edu: Json = {"edu_type": "m.presence", "content": poll}
        origin = f"h{number % servers}.keys.test"
        request = attacker.put(origin, f"poll{number}", edus=[edu])
        attacker.wire.send("hanging", "127.4.0.1", request)

    await attacker.at_rate(10.0, act)


async def wide(attacker: Attacker) -> None:
    """Forged origins whose names lead to 160 addresses of a third party."""

    def act(number: int) -> None:
        request = attacker.put(f"w{number}.wide.test", f"{number}", is_forged=True)
        attacker.wire.send("wide", "127.5.0.1", request)

    await attacker.at_rate(1.0, act)


async def fat(attacker: Attacker) -> None:
    """Forged origins with key documents of sixty kilobytes."""

    def act(number: int) -> None:
        request = attacker.put(f"fat{number}.keys.test", f"{number}", is_forged=True)
        attacker.wire.send("fat", "127.6.0.1", request)

    await attacker.at_rate(5.0, act)


async def endless_bodies(attacker: Attacker) -> None:
    """Bodies of twelve megabytes that stop before their end."""
    chunk = b"x" * (1024 * 1024)

    def act(number: int) -> None:
        head = attacker.head(
            f"s{number % 5}.keys.test",
            f"endless{number}",
            {},
            _LARGE_BYTES,
            False,  # noqa: FBT003 - not forged
        )
        parts = [chunk] * (_LARGE_BYTES // len(chunk) - 1)
        attacker.wire.send("endless_bodies", "127.7.0.1", head, *parts)

    await attacker.at_rate(1.0, act)


async def bodies_for_nothing(attacker: Attacker) -> None:
    """Large bodies without a header, and many values with a wrong signature."""

    def act(number: int) -> None:
        if number % 2:
            head = (
                f"PUT /_matrix/federation/v1/send/{number} HTTP/1.1\r\n"
                f"Host: {attacker.wire.name}\r\nContent-Length: {_LARGE_BYTES}\r\n\r\n"
            )
            parts = [head.encode("ascii"), b"x" * _LARGE_BYTES]
        else:
            length = len(_MANY_VALUES)
            head_of_known = attacker.head(
                "s0.keys.test",
                f"values{number}",
                {},
                length,
                True,  # noqa: FBT003 - forged
            )
            parts = [head_of_known, _MANY_VALUES]
        attacker.wire.send("bodies_for_nothing", "127.8.0.1", *parts)

    await attacker.at_rate(1.0, act)


async def silent_connections(attacker: Attacker) -> None:
    """As many connections as the limit allows, on which nothing is sent."""
    number = max(20, int(1500 * attacker.intensity))

    async def hold(each: int) -> None:
        while True:
            with contextlib.suppress(OSError):
                await attacker.wire.connect(
                    "silent_connections", f"127.9.0.{each % 3 + 1}"
                )
            await asyncio.sleep(1.0)

    await asyncio.gather(*map(hold, range(number)))


async def one_network(attacker: Attacker) -> None:
    """Forged origins and silent connections, from fifty addresses of one /64."""
    sources = cycle([f"fd00:64::{each}" for each in range(1, 51)])

    def act(number: int) -> None:
        request = attacker.put(f"v{number}.stuck.test", f"{number}", is_forged=True)
        attacker.wire.send("one_network", next(sources), request)

    async def hold() -> None:
        while True:
            with contextlib.suppress(OSError):
                await attacker.wire.connect("one_network", next(sources))
            await asyncio.sleep(1.0)

    # More than one client may have.
    silent = [hold() for _ in range(max(20, int(1200 * attacker.intensity)))]
    await asyncio.gather(attacker.at_rate(10.0, act), *silent)


ATTACKS: list[Callable[[Attacker], Coroutine[Any, Any, None]]] = [
    forged_silent,
    forged_from_many,
    signed_naming_many,
    notary,
    hanging,
    wide,
    fat,
    endless_bodies,
    bodies_for_nothing,
    silent_connections,
]

# They need addresses of IPv6, which the loopback interface does not have by itself.
IPV6_ATTACKS: list[Callable[[Attacker], Coroutine[Any, Any, None]]] = [one_network]

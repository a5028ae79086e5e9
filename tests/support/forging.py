"""A process that forges requests: `forging DAEMON-PORT FIRST HOW SILENT-PORT`.

It sends the first ones as fast as the daemon accepts them, prints a line, and goes on
until it is killed. It waits for no answer, but for the end of each handshake: on a slow
machine it leaves the daemon time for others.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from tests.support.trusting_client import TRUSTING

Forge = Callable[[int, str], tuple[str, str]]
"""The address that a request comes from, and the origin that it names.

Or the servers whose keys it asks for. Of its number, and the port of a server that is
silent.
"""


def one_address(number: int, port: str) -> tuple[str, str]:
    """All from one address, each in the name of another domain."""
    return "127.0.1.1", f"h.evil{number}.test:{port}"


def one_domain(number: int, port: str) -> tuple[str, str]:
    """Each from another address, in names of one domain."""
    return _address(number), f"h{number}.evil.test:{port}"


def one_target(number: int, port: str) -> tuple[str, str]:
    """Each from another address, in the name of another domain."""
    return _address(number), f"h.evil{number}.test:{port}"


def ten_addresses(number: int, port: str) -> tuple[str, str]:
    """From ten addresses, each in the name of another domain."""
    return f"127.0.1.{1 + number % 10}", f"h.evil{number}.test:{port}"


def silent_names(number: int, port: str) -> tuple[str, str]:
    """From one address, in names that no name server answers about."""
    return "127.0.1.1", f"h{number}.silent.test:{port}"


def notary(number: int, port: str) -> tuple[str, str]:
    """From ten addresses, each time for the keys of a hundred servers."""
    names = [f'"h.evil{number}x{each}.test:{port}":{{}}' for each in range(100)]
    return f"127.0.1.{1 + number % 10}", "{" + ",".join(names) + "}"


FORGERIES = [notary, one_address, one_domain, one_target, ten_addresses, silent_names]


def _address(number: int) -> str:
    return f"127.0.{1 + number // 200}.{1 + number % 200}"


# In a second at most, after the first ones.
_RATE = 60.0

# Of its time, for how much it leaves the daemon alone.
_PAUSE = 0.75


async def _attack(port: int, first: int, forge: Forge, silent: str) -> None:
    loop = asyncio.get_running_loop()
    kept: list[asyncio.StreamWriter] = []
    for number in range(first):
        await _send(port, *forge(number, silent), kept)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    for number in count(first):
        began = loop.time()
        await _send(port, *forge(number, silent), kept)
        took = loop.time() - began
        await asyncio.sleep(max(1 / _RATE - took, took * _PAUSE / (1 - _PAUSE)))


async def _send(
    port: int, client: str, origin: str, kept: list[asyncio.StreamWriter]
) -> None:
    """Send one request, and keep the connection; `origin` may be many names."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=TRUSTING, local_addr=(client, 0)
        )
        writer.write(_query(origin) if origin.startswith("{") else _put(origin))
        kept.append(writer)


def _put(origin: str) -> bytes:
    body = b'{"pdus":[],"edus":[]}'
    return (
        b"PUT /_matrix/federation/v1/send/x HTTP/1.1\r\nHost: us.test\r\n"
        b"Content-Length: %d\r\n"
        b'Authorization: X-Matrix origin="%b",destination="us.test",'
        b'key="ed25519:1",sig="%b"\r\n\r\n%b'
    ) % (len(body), origin.encode(), b"A" * 86, body)


def _query(servers: str) -> bytes:
    body = b'{"server_keys":%b}' % servers.encode()
    return (
        b"POST /_matrix/key/v2/query HTTP/1.1\r\nHost: us.test\r\n"
        b"Content-Length: %d\r\n\r\n%b"
    ) % (len(body), body)


if __name__ == "__main__":
    _, daemon_port, first, how, silent_port = sys.argv
    [chosen] = [each for each in FORGERIES if each.__name__ == how]
    asyncio.run(_attack(int(daemon_port), int(first), chosen, silent_port))

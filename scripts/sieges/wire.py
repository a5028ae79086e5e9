"""The attackers' connections to the endpoint, and the result of each request.

Rules: each request has a connection of its own, from a given address.
"""

import asyncio
import contextlib
import ssl
from collections import Counter

from homeserver.protocol.identifiers import ServerName
from scripts.sieges.names import LOOPBACK

_ANSWER_SECONDS = 60.0


class Wire:
    """The way to the endpoint that is attacked."""

    def __init__(self, name: ServerName, port: int) -> None:
        self.name = name
        self._port = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How often each attack was begun, and how it ended: a status, or another way.
        """

        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, attack: str, source: str, *parts: bytes) -> None:
        """Send a request on a connection of its own, and count its result."""

        async def send() -> None:
            try:
                outcome = await asyncio.wait_for(
                    self._ask(source, parts), _ANSWER_SECONDS
                )
            except TimeoutError:
                outcome = "silence"
            except OSError:
                outcome = "closed"
            self.outcomes[attack, outcome] += 1

        self.outcomes[attack, "sent"] += 1
        task = asyncio.create_task(send())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def connect(self, attack: str, source: str) -> None:
        """A connection on which nothing is sent, until the other side ends it."""
        self.outcomes[attack, "sent"] += 1
        reader, writer = await asyncio.open_connection(
            _target(source), self._port, local_addr=(source, 0)
        )
        try:
            await reader.read()
        finally:
            self.outcomes[attack, "closed"] += 1
            writer.close()

    async def _ask(self, source: str, parts: tuple[bytes, ...]) -> str:
        reader, writer = await asyncio.open_connection(
            _target(source), self._port, ssl=self._context, local_addr=(source, 0)
        )
        try:
            with contextlib.suppress(OSError):  # there may be an answer all the same
                for part in parts:
                    writer.write(part)
                    await writer.drain()
            line = await reader.readline()
            return line.decode("latin-1").split(" ")[1] if line else "closed"
        finally:
            writer.transport.abort()


def _target(source: str) -> str:
    """Where the endpoint listens for an attacker's address."""
    return "::1" if ":" in source else LOOPBACK

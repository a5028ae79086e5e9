"""The attackers' servers: one proves every name and answers nothing, one is silent.

Rules: they count their requests and connections: the load of an attack on third
parties.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import build_v1, build_v2
from homeserver.protocol.signing import SigningKey, sign
from scripts.sieges.names import KEYS_NETWORK, network

_DAY_MS = 86_400_000
_PADDING = 60_000  # characters of a document that is as large as one may be


class KeyServer:
    """Serves the key documents of any name; any other request hangs."""

    def __init__(self, key: SigningKey, certificate: bytes) -> None:
        """`certificate` is the leaf that it presents, in DER."""
        self._key = key
        self._certificate = certificate
        self.requests = 0
        self.hanging = 0

    async def serve(self, port: int, folder: Path) -> asyncio.Server:
        """Listen where the names lead to, with the certificate in a folder."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        return await asyncio.start_server(
            self._talk,
            network(KEYS_NETWORK),
            port,
            ssl=context,
            backlog=1000,
        )

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                lines = head.decode("latin-1").split("\r\n")
                method, target, _ = lines[0].split(" ")
                [host] = [each[6:] for each in lines if each.startswith("Host: ")]
                document = self._document(target, ServerName.parse(host))
                if method != "GET" or document is None:
                    self.hanging += 1
                    await reader.read()  # until the other side gives up
                    break
                body = encode(document)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(body) + body
                )
                await writer.drain()
        writer.close()

    def _document(self, target: str, name: ServerName) -> Json | None:
        if target.startswith("/_matrix/key/v1"):
            return build_v1(name, self._certificate, [self._key])
        if target.startswith("/_matrix/key/v2/server"):
            until_ts = time.time_ns() // 1_000_000 + _DAY_MS
            document = build_v2(name, [self._key], [], until_ts, [self._certificate])
            if not name.host.startswith("fat"):
                return document
            del document["signatures"]
            return sign(document | {"padding": "x" * _PADDING}, name, [self._key])
        return None


class StuckServer:
    """Accepts every connection, and sends nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self.received = 0
        """In bytes."""

    async def serve(self, port: int, addresses: Sequence[str]) -> asyncio.Server:
        """Listen at these addresses."""
        return await asyncio.start_server(
            self._listen,
            addresses,
            port,
            backlog=1000,
        )

    async def _listen(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.received += len(data)
        writer.close()

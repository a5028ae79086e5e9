"""TLS connections of one request each, with full and with resumed handshakes.

Rules: all servers are asked in one way: TLS 1.3, one connection after the other. A
resumed connection has the session of the one before it. That each handshake is of the
kind that is measured is checked.
"""

import socket
import ssl
import time
from dataclasses import dataclass

from scripts.benchmarks.load import Server
from scripts.benchmarks.table import Sample
from scripts.benchmarks.usage import cpu_seconds
from scripts.processes import LOOPBACK, ProcessError


@dataclass(frozen=True, slots=True)
class Handshakes:
    """Connections that are made in one round."""

    request: bytes
    """After it, the server closes the connection."""

    count: int
    are_resumed: bool

    def run(self, server: Server) -> Sample:
        """Connect, and measure the CPU time of the server for each connection.

        Raises `ProcessError` for another answer than 200, or another handshake.
        """
        port = int(server.url.rpartition(":")[2])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        session = self._connect(port, context, None)
        begun = cpu_seconds(server.pid), time.monotonic()
        for _ in range(self.count):
            session = self._connect(port, context, session)
        ended = cpu_seconds(server.pid), time.monotonic()
        cpu, clock = (
            after - before for after, before in zip(ended, begun, strict=True)
        )
        return Sample(cpu / self.count * 1e6, self.count / clock)

    def _connect(
        self, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
    ) -> ssl.SSLSession | None:
        """The session of one connection, which resumed that of another one if given."""
        with (
            socket.create_connection((LOOPBACK, port)) as tcp,
            context.wrap_socket(tcp, session=session) as tls,
        ):
            tls.sendall(self.request)
            answer = b""
            while piece := tls.recv(65536):
                answer += piece
            if b" 200 " not in answer[:20] or tls.session_reused != bool(session):
                raise ProcessError(f"{port}: {answer[:60]!r}, {tls.session_reused}")
            return tls.session if self.are_resumed else None

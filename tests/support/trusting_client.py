"""Python's own client of HTTPS, which takes any certificate of a loopback server."""

import socket
import ssl
from http.client import HTTPSConnection
from typing import NamedTuple

from scripts.processes import LOOPBACK
from tests.support.eventually import ANSWER_SECONDS

TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which loads no roots
TRUSTING.check_hostname = False
TRUSTING.verify_mode = ssl.CERT_NONE


class Got(NamedTuple):
    """An answer, and the certificate of its connection in DER."""

    status: int
    body: bytes
    certificate: bytes


def connect(
    port: int,
    sni: str | None = None,
    *,
    source: str = LOOPBACK,
    seconds: float = ANSWER_SECONDS,
) -> HTTPSConnection:
    """A connection after its handshake, from `source`; without `sni`, to no name."""
    plain = socket.create_connection((LOOPBACK, port), seconds, (source, 0))
    connection = HTTPSConnection(LOOPBACK, port)
    connection.sock = TRUSTING.wrap_socket(plain, server_hostname=sni)
    return connection


def read(connection: HTTPSConnection) -> Got:
    """The answer to what was requested on a connection."""
    certificate = connection.sock.getpeercert(binary_form=True)
    response = connection.getresponse()
    return Got(response.status, response.read(), certificate or b"")


def fetch(
    port: int,
    target: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    sni: str | None = None,
) -> Got:
    """The answer to one request on a connection of its own."""
    connection = connect(port, sni)
    connection.request(method, target, body, headers or {})
    got = read(connection)
    connection.close()
    return got

"""The client of the planted homeserver: one request on a connection of its own.

Rules: as in `server`. A name leads to what a table says; `localhost` and IP addresses
lead to themselves, and all other names are asked of a name server, if there is one.
With an authority, the other server proves its name by a certificate of it before the
request leaves.
"""

import http.client
import json
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.planted.dns import Address, addresses, look_up
from tests.planted.listener import Answer

_SECONDS = 120.0  # for an answer; machines are shared
_MAX_ANSWER = 20_000_000  # bytes
_DEFAULT_PORT = 8448
_UNUSED = "localhost"  # the library connects to it where it has no connection

_NAME = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(?::([0-9]{1,5}))?")
_ADDRESS = re.compile(r"[0-9.]+|\[.*\]")


class Unreachable(Exception):
    """There is no answer of a server."""


@dataclass
class Client:
    """Asks other servers."""

    addresses: Mapping[str, int] = field(default_factory=dict)
    """The ports of servers at `host`, by name."""

    host: str = "127.0.0.1"

    ca_file: Path | None = None
    """The authority that is trusted; None for connections that prove nothing."""

    dns: str | None = None
    """The address of a name server; None for none."""

    faults: frozenset[str] = frozenset()

    def ask(
        self,
        destination: str,
        method: str,
        target: str,
        body: bytes | None = None,
        authorization: str | None = None,
    ) -> Answer:
        """The answer to a request; raises `Unreachable`, also for no JSON."""
        headers = {"Host": destination, "Content-Type": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        connection = http.client.HTTPSConnection(_UNUSED, timeout=_SECONDS)
        try:
            # Connected to by hand, as the name to connect to would be the one of SNI.
            host, found = self._find(destination)
            connection.sock = raw = _connect(found)
            connection.sock = self._prove(raw, host)
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            data = response.read(_MAX_ANSWER)
            return Answer(response.status, json.loads(data))
        except (OSError, http.client.HTTPException) as problem:
            raise Unreachable(str(problem)) from None
        except (ValueError, RecursionError):
            raise Unreachable("the answer is no JSON") from None
        finally:
            connection.close()

    def _find(self, name: str) -> tuple[str, list[Address]]:
        """The host that a certificate proves, and where to connect to."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise Unreachable("this is no server name")
        host, port = match[1].strip("[]"), int(match[2] or _DEFAULT_PORT)
        if name in self.addresses:
            is_default = "srv-ignored" in self.faults
            return host, [
                (self.host, _DEFAULT_PORT if is_default else self.addresses[name])
            ]
        if host == "localhost":
            return host, [("127.0.0.1", port)]
        if _ADDRESS.fullmatch(match[1]):
            return host, [(host, port)]
        if self.dns is None:
            raise Unreachable("the name is not found")
        if match[2]:
            return host, addresses(host, port, self.dns)
        return host, look_up(host, self.dns, self.faults)

    def _prove(self, raw: socket.socket, host: str) -> ssl.SSLSocket:
        """Shake hands, and prove the other server; raises `OSError`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = "certificate-name-unchecked" not in self.faults
        context.hostname_checks_common_name = "common-name-believed" in self.faults
        if self.ca_file is None or "certificate-unchecked" in self.faults:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(self.ca_file)
        if "no-sni" not in self.faults:
            return context.wrap_socket(raw, server_hostname=host)
        context.check_hostname = False
        return context.wrap_socket(raw)


def _connect(found: list[Address]) -> socket.socket:
    """A connection to the first address that takes one; raises `OSError`."""
    for address in found[:-1]:
        with suppress(OSError):
            return socket.create_connection(address, _SECONDS)
    if not found:
        raise Unreachable("the name has no address")
    return socket.create_connection(found[-1], _SECONDS)

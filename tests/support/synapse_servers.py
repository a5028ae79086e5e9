"""Synapse and endpoints of ours beside each other, and requests in their names.

Rules: the servers are real processes that trust one authority, the test's.
What none of them would ask, the test asks in its name, with that server's own key.
"""

import http.client
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import signedjson.key
from cryptography import x509
from nacl.signing import SigningKey as NaclSigningKey

from homeserver.protocol.canonical_json import encode
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey
from homeserver.protocol.xmatrix import FederationRequest
from scripts.processes import LOOPBACK, Endpoint, free_ports, make_endpoint
from scripts.synapse import Synapse, make_synapse
from tests.support.certificates import Issued, authority, issue

_T = TypeVar("_T")

Answer = tuple[int, dict[str, Any]]
"""The status and the JSON of a response."""


EDU = json.dumps({"edu_type": "m.test", "content": {}})
"""One that Synapse passes over."""

FORGED = (
    "Invalid signature for server {origin} with key {key_id}: Unable to verify "
    "signature for {origin}: <class 'nacl.exceptions.BadSignatureError'> Signature was "
    "forged or corrupt"
)
"""What Synapse says of a signature that does not verify, over a request or an event."""

CONFIGURATION = """
[verification]
ca_file = "{ca_file}"
system_roots = false

[network]
allow = ["127.0.0.0/8", "::1"]

[sending]
first_retry_seconds = 0.2
max_retry_seconds = 0.5

[profiles]
"@bob:{name}" = {{displayname = "Bob", avatar_url = "mxc://{name}/bob"}}
"""


class Neighbourhood:
    """The folder of the servers of one test, and the authority that they trust."""

    def __init__(self, folder: Path, within: Sequence[str] = ()) -> None:
        """`within` is a command that their processes are run by."""
        self._folder = folder
        self._within = tuple(within)
        self._numbers = count()
        self.authority = authority()
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self.authority.pem)

    def make_synapse(self, name: str, *listen: str) -> Synapse:
        """A Synapse that listens at `listen`, HOST:PORT each."""
        folder = self._folder / "synapse"
        folder.mkdir()
        self.certify(name).write(folder)
        return make_synapse(folder, name, listen, self.ca_file, self._within)

    def make_endpoint(
        self, name: str, listen: str, configuration: str = ""
    ) -> Endpoint:
        """An endpoint of ours; `configuration` is added, in tables."""
        folder = self._folder / f"endpoint-{next(self._numbers)}"
        tables = CONFIGURATION.format(name=name, ca_file=self.ca_file)
        endpoint = make_endpoint(
            folder, name, configuration + tables, listen, self._within
        )
        self.certify(name).write(folder)
        return endpoint

    def make_both(self) -> tuple[Synapse, Endpoint]:
        """A Synapse and an endpoint of ours on the loopback interface."""
        theirs, ours = free_ports(2)
        return (
            self.make_synapse(f"localhost:{theirs}", f"{LOOPBACK}:{theirs}"),
            self.make_endpoint(f"localhost:{ours}", f"{LOOPBACK}:{ours}"),
        )

    def certify(self, *names: str) -> Issued:
        """A certificate of the authority for server names, less their ports."""
        hosts = [ServerName.parse(name).host for name in names]
        return issue(hosts[0], [_general_name(h) for h in hosts], issuer=self.authority)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


@dataclass(frozen=True)
class Signer:
    """A client that signs in the name of a server."""

    name: ServerName
    key: SigningKey

    @classmethod
    def of(cls, server: Synapse | Endpoint) -> "Signer":
        """One with the server's own key."""
        with (server.folder / "signing.key").open() as file:
            [key] = signedjson.key.read_signing_keys(file)
        return cls(
            ServerName.parse(server.name),
            SigningKey(KeyId(f"{key.alg}:{key.version}"), NaclSigningKey(key.encode())),
        )

    def sign(
        self,
        destination: ServerName,
        method: str,
        target: str,
        content: dict[str, Any] | None = None,
    ) -> list[str]:
        """The `Authorization` headers of a request."""
        request = FederationRequest(method, target, self.name, destination, content)
        return [str(each) for each in request.sign([self.key])]

    def ask(
        self,
        destination: ServerName,
        method: str,
        target: str,
        content: dict[str, Any] | None = None,
    ) -> Answer:
        """Make a signed request."""
        headers = self.sign(destination, method, target, content)
        return ask(destination, method, target, content, headers)


def ask(
    destination: ServerName,
    method: str,
    target: str,
    content: dict[str, Any] | None = None,
    authorization: Sequence[str] = (),
) -> Answer:
    """Make a request with these `Authorization` headers to a name with a port.

    Whom it reaches is not checked: nothing rests on it here.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(
        destination.host.strip("[]"), destination.port, context=context, timeout=30
    )
    connection.putrequest(method, target)
    for header in authorization:
        connection.putheader("Authorization", header)
    body = b"" if content is None else encode(content)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer

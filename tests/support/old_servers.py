"""What servers since 2014 answer to a transaction, each as it was seen to.

Each is a real TLS server that routes as the described one does: by the path as it was
sent, before it is decoded.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing import SigningKey
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from tests.support.real_discovery import certify
from tests.support.recording_peers import http
from tests.support.tls_servers import Conversation, TlsServer

_SEND = "/_matrix/federation/v1/send/"

_REQUEST = re.compile(rb"PUT (\S+) HTTP/1.1\r\n(.*?\r\n)\r\n", re.DOTALL)
_LENGTH = re.compile(rb"^Content-Length: (\d+)\r$", re.MULTILINE | re.IGNORECASE)
_AUTHORIZATION = re.compile(rb"^Authorization: (.*)\r$", re.MULTILINE | re.IGNORECASE)

Routes = Callable[[bool], tuple[str, bytes]]
"""The status and the body of an answer; the argument is whether there is a slash."""


def before_2019(missing: bytes, taken: bytes) -> Routes:
    """A Synapse before 0.99.3, whose routes end with a slash."""
    return lambda slash: ("200 OK", taken) if slash else ("400 Bad Request", missing)


UNRECOGNIZED = b'{"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}'
UNRECOGNIZED_2014 = b'{"error": "Unrecognized request"}'
REPLY = b'{"pdus": {}}'


def conduit(slash: bool) -> tuple[str, bytes]:  # noqa: FBT001 - as `Routes`
    """Conduit of 2026, whose routes do not."""
    return ("404 Not Found", UNRECOGNIZED) if slash else ("200 OK", REPLY)


SYNAPSE_0_4 = before_2019(UNRECOGNIZED_2014, b"null")
SYNAPSE_0_5 = before_2019(UNRECOGNIZED_2014, b"")
SYNAPSE_0_33 = before_2019(UNRECOGNIZED, REPLY)


@dataclass(frozen=True)
class Put:
    """A transaction that reached a server."""

    target: str
    body: bytes
    authorizations: list[Authorization]

    @property
    def content(self) -> Json:
        """The body."""
        return parse_object(self.body)

    @property
    def txn_id(self) -> str:
        """The ID that the path names."""
        return self.target.removeprefix(_SEND).removesuffix("/")

    @property
    def has_slash(self) -> bool:
        """Whether the path ends with a slash."""
        return self.target.endswith("/")

    def verify(self, origin: ServerName, destination: str, key: SigningKey) -> None:
        """Check the signature, over this very path."""
        FederationRequest(
            "PUT", self.target, origin, ServerName.parse(destination), self.content
        ).verify(self.authorizations, {key.key_id: key.verify_key})


@dataclass
class OldServer:
    """A server with the routes of a described one; they may be changed."""

    routes: Routes

    def __post_init__(self) -> None:
        self.tls = TlsServer(certify("127.0.0.1"), otherwise=self._answer)

    @property
    def name(self) -> str:
        """Its server name, once it listens."""
        return f"127.0.0.1:{self.tls.port}"

    @property
    def puts(self) -> list[Put]:
        """What reached it, in order of the connections."""
        found = []
        for conversation in self.tls.conversations:
            data = conversation.received
            while head := _REQUEST.search(data):
                length = _LENGTH.search(head[2])
                assert length is not None
                end = head.end() + int(length[1])
                authorizations = [
                    Authorization.parse(value.decode("ascii"))
                    for value in _AUTHORIZATION.findall(head[2])
                ]
                body = data[head.end() : end]
                found.append(Put(head[1].decode("ascii"), body, authorizations))
                data = data[end:]
        return found

    def _answer(self, conversation: Conversation) -> None:
        path = self.tls.requests[-1].partition("/")[2]
        status, body = self.routes(path.endswith("/"))
        http(body, status)(conversation)

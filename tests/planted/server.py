"""A small homeserver whose mistakes are switched on by name.

It serves its keys, sends transactions and repeats them, and takes those of others. It
is made of the standard library, PyNaCl and cryptography.

Rules: nothing of `homeserver` is imported, so that no mistake is shared.
"""

import base64
import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from tests.planted.signing import (
    Object,
    canonical,
    event_id,
    request_message,
    sign_event,
    unpadded,
    urlsafe,
)

SEND = "/_matrix/federation/v1/send/"
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_SECONDS = 20.0  # for an answer; machines are shared


@dataclass
class Answer:
    """What a request got."""

    status: int
    content: Any

    @property
    def error(self) -> str:
        """The sentence of an error."""
        return str(self.content["error"])


@dataclass
class PlantedServer:
    """A homeserver at 127.0.0.1, which is also its name."""

    folder: Path
    faults: frozenset[str] = frozenset()
    addresses: dict[str, int] = field(default_factory=dict)
    """The ports of other servers, by name; DNS is not asked."""

    host: str = "127.0.0.1"
    """The IP address of other servers."""

    key_id: str = "ed25519:p_1"
    received: list[Object] = field(default_factory=list)
    """The transactions that were accepted."""

    _seen: dict[str, Object] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        self.key = SigningKey.generate()
        self.served = self.key
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True
        self.name = f"127.0.0.1:{self._http.server_address[1]}"
        self.certificate = _certify(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "planted.pem")
        self._http.socket = context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )

    @contextmanager
    def running(self) -> Iterator["PlantedServer"]:
        """Serve until the context ends."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            thread.join()
            self._http.server_close()

    def replace_key(self) -> None:
        """Sign with another key, under the same ID, and serve that one."""
        self.key = self.served = SigningKey.generate()

    def key_document(self, version: int) -> Object:
        """The key document of a version, signed."""
        public = unpadded(bytes(self.served.verify_key))
        if "key-is-seed" in self.faults:
            public = unpadded(bytes(self.served))
        if "key-hexadecimal" in self.faults:
            public = bytes(self.served.verify_key).hex()
        document: Object = {"server_name": self.name}
        if "name-of-document" in self.faults:
            document["server_name"] = f"https://{self.name}"
        if version == 1:
            document["verify_keys"] = {self.key_id: public}
            document["tls_certificate"] = unpadded(self.certificate)
        else:
            hour = -3_600_000 if "document-expired" in self.faults else 3_600_000
            until = _now_ts() + hour
            document |= {
                "verify_keys": {self.key_id: {"key": public}},
                "old_verify_keys": {},
                "valid_until_ts": until,
            }
            if "document-seconds" in self.faults:
                document["valid_until_ts"] = until // 1000
        message = canonical(document)
        if "document-spaces" in self.faults:
            message = json.dumps(document, sort_keys=True).encode()
        if "document-unsigned" in self.faults:
            return document
        signature = unpadded(self.served.sign(message).signature)
        return {**document, "signatures": {self.name: {self.key_id: signature}}}

    def event(self, **changes: Any) -> Object:
        """A signed event of this server's."""
        self._count += 1
        event = {
            "type": "m.room.member",
            "room_id": f"!r:{self.name}",
            "sender": f"@a:{self.name}",
            "state_key": f"@a:{self.name}",
            "content": {
                "membership": "join",
                "displayname": "Grüße",
                "join_authorised_via_users_server": f"@a:{self.name}",
            },
            "origin_server_ts": _now_ts(),
            "depth": self._count,
            "prev_events": [],
            "auth_events": [],
            "unsigned": {"age": 1},
            **changes,
        }
        return sign_event(event, self.name, self.key_id, self.key, self.faults)

    def create_event(self) -> Object:
        """The create event of the room, of version 10."""
        return self.event(
            type="m.room.create",
            state_key="",
            content={"creator": f"@a:{self.name}", "room_version": "10"},
        )

    def transaction(self, *pdus: Object, edus: list[Object] | None = None) -> Object:
        """The body of a transaction."""
        if "51-pdus" in self.faults:
            pdus = pdus * 51
        if "foreign-edu" in self.faults:
            typing = {"user_id": "@x:elsewhere.test", "room_id": "!r", "typing": True}
            edus = [{"edu_type": "m.typing", "content": typing}]
        content: Object = {
            "origin_server_ts": _now_ts(),
            "pdus": list(pdus),
            "edus": edus or [],
        }
        if "origin-left-out" not in self.faults:
            content["origin"] = self.name
        return content

    def send(
        self, destination: str, content: Object, txn_id: str = "t%211?x=%2F"
    ) -> Answer:
        """Send a transaction once."""
        return self.request("PUT", destination, SEND + txn_id, content)

    def deliver(
        self,
        destination: str,
        content: Object,
        answered: Callable[[int], object] = lambda _: None,
    ) -> list[tuple[str, int]]:
        """Send a transaction until it is taken; the ID and status of each attempt.

        `answered` is called with the number of each attempt.
        """
        made: list[tuple[str, int]] = []
        pause = 0.0 if "retry-without-pause" in self.faults else 1.0
        for attempt in range(5):
            txn_id = f"r{attempt}" if "retry-other-id" in self.faults else "r0"
            body = dict(content)
            if "retry-other-bytes" in self.faults:
                body["origin_server_ts"] += attempt
                body["edus"] = [{"edu_type": "m.x", "content": {"n": attempt}}]
            status = self.send(destination, body, txn_id).status
            made.append((txn_id, status))
            answered(attempt + 1)
            if status < 500 or "no-retry" in self.faults:
                break
            time.sleep(pause)
            pause *= 2
        return made

    def request(
        self, method: str, destination: str, uri: str, content: Object | None = None
    ) -> Answer:
        """Send one signed request."""
        named = destination
        if "destination-wrong" in self.faults:
            named = "elsewhere.test"
        request: Object = {
            "method": method,
            "uri": uri,
            "origin": self.name,
            "destination": named,
        }
        if content is not None:
            request["content"] = content
        signature = self.key.sign(request_message(request, self.faults)).signature
        encode = urlsafe if "signature-urlsafe" in self.faults else unpadded
        padding = "==" if "signature-padded" in self.faults else ""
        key_id = "ed25519:other" if "key-id-wrong" in self.faults else self.key_id
        if "key-id-without-algorithm" in self.faults:
            key_id = key_id.partition(":")[2]
        parameters = {
            "origin": self.name,
            "destination": named,
            "key": key_id,
            "sig": encode(signature) + padding,
        }
        if "destination-missing" in self.faults:
            del parameters["destination"]
        separator = ";" if "header-semicolons" in self.faults else ","
        header = "X-Matrix " + separator.join(
            f'{name}="{value}"' for name, value in parameters.items()
        )
        body = None if content is None else json.dumps(content).encode()
        return self._ask(destination, method, uri, body, header)

    def _ask(
        self,
        destination: str,
        method: str,
        uri: str,
        body: bytes | None = None,
        header: str | None = None,
    ) -> Answer:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # Connected to by hand, as the name to connect to would be the one of SNI.
        port = 8448 if "srv-ignored" in self.faults else self.addresses[destination]
        raw = socket.create_connection((self.host, port), _SECONDS)
        sni = None if "no-sni" in self.faults else destination.partition(":")[0]
        connection = http.client.HTTPSConnection("127.0.0.1", timeout=_SECONDS)
        connection.sock = context.wrap_socket(raw, server_hostname=sni)
        headers = {"Host": destination, "Content-Type": "application/json"}
        if header is not None:
            headers["Authorization"] = header
        try:
            connection.request(method, uri, body, headers)
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read()))
        finally:
            connection.close()

    def take(self, method: str, uri: str, header: str, body: bytes) -> Answer | None:
        """The answer to a transaction of another server; None for none."""
        sent = dict(_PARAMETER.findall(header))
        content = json.loads(body)
        request: Object = {
            "method": method,
            "uri": uri,
            "origin": sent["origin"],
            "destination": sent["destination"],
            "content": content,
        }
        is_ours = sent["destination"] == self.name
        if not is_ours and "destination-unchecked" not in self.faults:
            return Answer(401, {"errcode": "M_UNAUTHORIZED", "error": "not for us"})
        if "signature-unchecked" not in self.faults and not self._verifies(
            request, sent["key"], sent["sig"]
        ):
            return Answer(401, {"errcode": "M_UNAUTHORIZED", "error": "not signed"})
        if uri in self._seen and "duplicate-unanswered" in self.faults:
            return None
        self.received.append(content)
        results: Object = {event_id(pdu, self.faults): {} for pdu in content["pdus"]}
        self._seen[uri] = {"pdus": results}
        return Answer(200, self._seen[uri])

    def _verifies(self, request: Object, key_id: str, signature: str) -> bool:
        origin = request["origin"]
        keys = self._ask(origin, "GET", "/_matrix/key/v2/server").content
        key = _decode(keys["verify_keys"][key_id]["key"])
        try:
            VerifyKey(key).verify(canonical(request), _decode(signature))
        except BadSignatureError:
            return False
        return True


def _now_ts() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _handler_of(planted: PlantedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers the requests of other servers."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Serve the key documents."""
            if self.path == "/_matrix/key/v2/server":
                self._answer(Answer(200, planted.key_document(2)))
            elif self.path == "/_matrix/key/v1" and "no-v1" not in planted.faults:
                self._answer(Answer(200, planted.key_document(1)))
            else:
                error = {"errcode": "M_UNRECOGNIZED", "error": "unknown"}
                self._answer(Answer(404, error))

        def do_PUT(self) -> None:
            """Take a transaction."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            header = self.headers["Authorization"]
            answer = planted.take("PUT", self.path, header, body)
            if answer is None:
                self.close_connection = True
            else:
                self._answer(answer)

        def _answer(self, answer: Answer) -> None:
            data = canonical(answer.content)
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _certify(folder: Path) -> bytes:
    """Write a self-signed certificate and its key; returns the DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "planted")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "planted.pem").write_bytes(private + pem)
    return certificate.public_bytes(serialization.Encoding.DER)

"""The version 1 key document as the servers of November 2014 ask for it, byte for byte.

They spoke HTTP/1.0 over TLS that proved nothing, named no host, and read until the
end of the connection.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
import signedjson.key
import signedjson.sign
from canonicaljson import encode_canonical_json
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from homeserver.protocol.canonical_json import Json, encode_base64
from scripts.processes import LOOPBACK, Endpoint, first_line, make_endpoint
from tests.support.eventually import HANGING_SECONDS
from tests.support.notaries import signers, without_signatures

NAME = "alpha.test"

SEEDS = {
    "a_2014": "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1",
    "second": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
}


@pytest.fixture(scope="module")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A daemon that signs with two keys."""
    endpoint = make_endpoint(tmp_path_factory.mktemp("2014") / "alpha", NAME, "")
    lines = [f"ed25519 {version} {seed}\n" for version, seed in SEEDS.items()]
    (endpoint.folder / "signing.key").write_text("".join(lines))
    with endpoint.running() as process:
        first_line(process)
        yield endpoint


@dataclass(frozen=True)
class Heard:
    """All that came on a connection after its handshake."""

    data: bytes
    certificate: bytes
    """The DER of the leaf that was shown in the handshake."""

    @property
    def status_line(self) -> str:
        """The first line."""
        return self.data.partition(b"\r\n")[0].decode("ascii")

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name; none of them is sent twice."""
        head = self.data.partition(b"\r\n\r\n")[0].decode("ascii")
        pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:]]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs)
        return headers

    @property
    def body(self) -> bytes:
        """What follows the headers, to the last byte."""
        return self.data.partition(b"\r\n\r\n")[2]


def say(endpoint: Endpoint, data: bytes, server_name: bytes | None = None) -> Heard:
    """Send bytes over TLS and read until the other side ends the connection.

    `server_name` is sent as the name that is meant, which it need not be.
    """
    context = SSL.Context(SSL.TLS_METHOD)
    with closing(
        socket.create_connection((LOOPBACK, endpoint.port), HANGING_SECONDS)
    ) as tcp:
        tcp.settimeout(None)  # OpenSSL waits by itself
        tls = SSL.Connection(context, tcp)
        if server_name is not None:
            tls.set_tlsext_host_name(server_name)
        tls.set_connect_state()
        tls.do_handshake()
        leaf = tls.get_peer_certificate(as_cryptography=True)
        assert leaf is not None
        tls.sendall(data)
        heard = b""
        try:
            while piece := tls.recv(65536):
                heard += piece
        except SSL.ZeroReturnError:
            tls.shutdown()
        return Heard(heard, leaf.public_bytes(Encoding.DER))


def checked(heard: Heard) -> Json:
    """The document in an answer, as a careful server of 2014 would check it."""
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["content-length"] == str(len(heard.body))
    assert "transfer-encoding" not in heard.headers
    document: Json = json.loads(heard.body)
    assert heard.body == encode_canonical_json(document)
    assert heard.body.endswith(b"}")
    assert document["server_name"] == NAME
    # Compared as text, as they did: padded or wrapped base64 would not do.
    assert document["tls_certificate"] == encode_base64(heard.certificate)
    assert signers(document) == {NAME: ["ed25519:a_2014", "ed25519:second"]}
    keys = document["verify_keys"]
    assert isinstance(keys, dict)
    assert list(keys) == ["ed25519:a_2014", "ed25519:second"]
    for key_id, text in keys.items():
        signedjson.sign.verify_signed_json(
            document,
            NAME,
            signedjson.key.decode_verify_key_base64(
                "ed25519", key_id.removeprefix("ed25519:"), text
            ),
        )
    assert without_signatures(document).keys() == {
        "server_name",
        "tls_certificate",
        "verify_keys",
    }
    return document


NAMES = {"no SNI": None, "an address as SNI": b"127.0.0.1", "SNI": b"alpha.test"}

# What Synapse 0.5 sent, what 0.33 sent, and what others may have sent then.
REQUESTS = {
    "without Host": b"GET /_matrix/key/v1/ HTTP/1.0\r\n\r\n",
    "with Host": b"GET /_matrix/key/v1/ HTTP/1.0\r\nHost: alpha.test:8448\r\n\r\n",
    "no slash": b"GET /_matrix/key/v1 HTTP/1.0\r\n\r\n",
    "query": b"GET /_matrix/key/v1/?x=y HTTP/1.0\r\n\r\n",
    "no slash, query": b"GET /_matrix/key/v1?x=y&x=z HTTP/1.0\r\n\r\n",
    "other Host": b"GET /_matrix/key/v1/ HTTP/1.0\r\nHost: 192.0.2.1\r\n\r\n",
}


@pytest.mark.parametrize("server_name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_http_1_0(request_: bytes, server_name: bytes | None, alpha: Endpoint) -> None:
    """An HTTP/1.0 request gets the document, and the end of the connection."""
    heard = say(alpha, request_, server_name)
    assert heard.status_line == "HTTP/1.0 200 OK"
    checked(heard)


def test_in_pieces(alpha: Endpoint) -> None:
    """Nothing that follows the request, and no second one, is answered."""
    first = REQUESTS["without Host"]
    assert say(alpha, first + first).body == say(alpha, first).body


HTTP_1_1 = {
    "with Host": b"GET /_matrix/key/v1/ HTTP/1.1\r\nHost: alpha.test\r\n",
    "no slash": b"GET /_matrix/key/v1 HTTP/1.1\r\nHost: alpha.test\r\n",
}


@pytest.mark.parametrize("head", HTTP_1_1.values(), ids=HTTP_1_1)
def test_http_1_1(head: bytes, alpha: Endpoint) -> None:
    """In HTTP/1.1 the connection ends when it is asked to, and not before."""
    last = say(alpha, head + b"Connection: close\r\n\r\n")
    assert last.status_line == "HTTP/1.1 200 OK"
    checked(last)
    both = say(alpha, head + b"\r\n" + head + b"Connection: close\r\n\r\n")
    assert both.data.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert both.data.endswith(last.body)
    assert both.body.startswith(last.body)


BELOW = {
    "a key": b"/_matrix/key/v1/ed25519:a_2014",
    "a slash more": b"/_matrix/key/v1//",
    "another version": b"/_matrix/key/v0/",
}


@pytest.mark.parametrize("path", BELOW.values(), ids=BELOW)
def test_below_there_is_nothing(path: bytes, alpha: Endpoint) -> None:
    """A path below the document's is not known, which is said in HTTP/1.0 as well."""
    heard = say(alpha, b"GET %b HTTP/1.0\r\n\r\n" % path)
    assert heard.status_line == "HTTP/1.0 404 Not Found"
    assert heard.headers["content-length"] == str(len(heard.body))
    assert json.loads(heard.body)["errcode"] == "M_UNRECOGNIZED"

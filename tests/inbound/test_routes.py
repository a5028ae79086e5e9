"""The routes that other servers ask, and what the public ones answer.

A known path says which methods it has; a path that is not known is unrecognized. What
is not public is answered to nobody unproven.
"""

import re

import pytest

from homeserver import __version__
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import parse_v1, parse_v2
from tests.support.federation_side import PROFILE, PROFILES, Endpoint
from tests.support.http_connection import Connection, ask
from tests.support.signed_requests import THEM, US

# Path, its methods, and what an unsigned request by the first of them gets.
ROUTES: list[tuple[str, str, int, str | None]] = [
    ("/_matrix/key/v1", "GET", 200, None),
    ("/_matrix/key/v1/", "GET", 200, None),
    ("/_matrix/key/v2/server", "GET", 200, None),
    ("/_matrix/key/v2/server/", "GET", 200, None),
    ("/_matrix/key/v2/server/ed25519:a_1", "GET", 200, None),
    ("/_matrix/federation/v1/version", "GET", 200, None),
    ("/_matrix/federation/v1/version/", "GET", 200, None),
    ("/.well-known/matrix/server", "GET", 404, "M_NOT_FOUND"),
    ("/_matrix/federation/v1/send/1", "PUT", 401, "M_UNAUTHORIZED"),
    ("/_matrix/federation/v1/send/1/", "PUT", 401, "M_UNAUTHORIZED"),
    ("/_matrix/federation/v1/send/a%2Fb", "PUT", 401, "M_UNAUTHORIZED"),
    ("/_matrix/federation/v1/query/profile", "GET", 401, "M_UNAUTHORIZED"),
    ("/_matrix/federation/v1/query/directory", "GET", 401, "M_UNAUTHORIZED"),
    ("/_matrix/federation/v1/query/other", "GET", 401, "M_UNAUTHORIZED"),
]


@pytest.mark.parametrize(("path", "method", "status", "errcode"), ROUTES)
def test_unsigned_request(
    path: str, method: str, status: int, errcode: str | None
) -> None:
    """What is public is answered to everybody, and the rest to nobody unproven."""
    answer = ask(Endpoint().site, method, path, body=None)
    if errcode is None:
        assert answer.status == status
        assert answer.json
    else:
        assert answer.error == (status, errcode)


METHODS = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "X"]


@pytest.mark.parametrize(
    ("path", "known", "method"),
    [
        (path, known, method)
        for method in METHODS
        for path, known, *_ in ROUTES
        if method != known
    ],
)
def test_other_method(path: str, known: str, method: str) -> None:
    """A known path with another method says which methods it has."""
    answer = ask(Endpoint().site, method, path, body=b"{}")
    assert answer.error == (405, "M_UNRECOGNIZED")
    assert answer.headers["allow"] == known


UNKNOWN = [
    "/",
    "/index.html",
    "/_matrix",
    "/_matrix/",
    "/_matrix/key",
    "/_matrix/key/v1/ed25519:a_1",
    "/_matrix/key/v2",
    "/_matrix/key/v2/query",
    "/_matrix/federation",
    "/_matrix/federation/v1",
    "/_matrix/federation/v1/",
    "/_matrix/federation/v1/send",
    "/_matrix/federation/v1/send/1/2",
    "/_matrix/federation/v1/query",
    "/_matrix/federation/v1/query/profile/x",
    "/_matrix/federation/v1/version/x",
    "/_matrix/federation/v1/event/$x",
    "/_matrix/federation/v2/send/1",
    "/_matrix/client/versions",
    "/.well-known",
    "/.well-known/matrix",
    "/.well-known/matrix/client",
    "/.well-known/matrix/server/x",
    "//_matrix/key/v1",
    "/_matrix//key/v1",
    "/_MATRIX/key/v1",
    "/_matrix/key/../key/v1",
    "/_matrix%2Fkey%2Fv1",
]


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown_path(path: str, method: str) -> None:
    """A path that is not known is unrecognized, whatever the method."""
    answer = ask(Endpoint().site, method, path, body=b"{}")
    assert answer.error == (404, "M_UNRECOGNIZED")


def test_key_document_as_2014_asks_for_it() -> None:
    """The request of 2014, without a Host, gets what a reader of that time needs."""
    endpoint = Endpoint()
    connection = Connection(endpoint.site)
    connection.send(b"GET /_matrix/key/v1/ HTTP/1.0\r\n\r\n")
    said = re.sub(rb"Date: [^\r]*\r\n", b"", connection.transport.value())
    document = ask(endpoint.site, "GET", "/_matrix/key/v1").body
    assert said == (
        b"HTTP/1.0 200 OK\r\n"
        b"Server: homeserver/%b\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b"
        % (__version__.encode(), len(document), document)
    )
    assert connection.is_closed


def test_key_documents() -> None:
    """Both key documents are of this server, and pass a peer's checks."""
    endpoint = Endpoint()
    v1 = parse_v1(ask(endpoint.site, "GET", "/_matrix/key/v1").body, US)
    v2 = parse_v2(ask(endpoint.site, "GET", "/_matrix/key/v2/server").body, US)
    assert v1.tls_certificate == endpoint.identity.certificate.leaf
    assert v1.verify_keys == v2.verify_keys


def test_version() -> None:
    """The version is told to everybody."""
    answer = ask(Endpoint().site, "GET", "/_matrix/federation/v1/version")
    assert answer.json == {"server": {"name": "homeserver", "version": __version__}}


def test_delegation() -> None:
    """`delegate_to` is served to whoever looks for us."""
    endpoint = Endpoint(delegate_to=ServerName.parse("real.example:443"))
    answer = ask(endpoint.site, "GET", "/.well-known/matrix/server")
    assert (answer.status, answer.json) == (200, {"m.server": "real.example:443"})


@pytest.mark.parametrize(
    "path",
    [row[0] for row in ROUTES if row[1] == "GET" and row[2] == 200],
)
def test_head(path: str) -> None:
    """HEAD is answered as GET is, without the body."""
    endpoint = Endpoint()
    get, head = ask(endpoint.site, "GET", path), ask(endpoint.site, "HEAD", path)
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


def test_head_of_a_signed_route() -> None:
    """HEAD has to be signed as HEAD."""
    endpoint = Endpoint(profiles=PROFILES)
    good = THEM.authorize("HEAD", PROFILE)
    bad = THEM.authorize("GET", PROFILE)
    statuses = [
        ask(endpoint.site, "HEAD", PROFILE, [f"Authorization: {header}"]).status
        for header in (good, bad)
    ]
    assert statuses == [200, 401]

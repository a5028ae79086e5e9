"""The notary's resources: what is asked on which path, and what is answered."""

import json
from collections.abc import Iterator

import pytest

from homeserver.http.router import Router
from homeserver.http.site import BoundedSite
from homeserver.inbound.key_publisher import KeyPublisher
from homeserver.inbound.notary_queries import count_queries
from homeserver.inbound.routes import key_routes
from homeserver.protocol.canonical_json import Json, encode, parse_object
from tests.support.http_connection import Answer, Connection, ask, request, site
from tests.support.keyrings import HOUR, K1, K2, NOW, OWN, UNREACHABLE, A, B, document
from tests.support.notaries import OWN_DOCUMENT, NotaryCase, signers
from tests.support.one_server import OneServer, OnlyServer

QUERY = "/_matrix/key/v2/query"
EMPTY = b'{"server_keys":[]}'


class Server(NotaryCase):
    """A server that answers for others' keys; it knows those of A."""

    def runTest(self) -> None:
        """Nothing: it is used by functions."""

    def setUp(self) -> None:
        """Put it together."""
        super().setUp()
        self.store(document(K1, K2, until=NOW + 24 * HOUR))
        publisher = KeyPublisher(lambda: self.identity, 86400, self.clock)
        servers = OnlyServer(OneServer(publisher=publisher, notary=self.notary))
        buckets = count_queries(self.clock)
        self.site = self.make_site(Router(key_routes(servers, buckets)))
        self.without_notary = self.make_site(Router(key_routes(servers, None)))

    def make_site(self, router: Router) -> BoundedSite:
        """A site with the routes of keys alone."""
        return site(router, max_body_bytes=1_000_000, clock=self.clock)

    def post(self, servers: object) -> Answer:
        """The answer to a POST about servers."""
        body = json.dumps({"server_keys": servers}).encode()
        return ask(self.site, "POST", QUERY, body=body)

    def begin(self, data: bytes) -> Connection:
        """Send a request that may not be answered at once."""
        connection = Connection(self.site)
        connection.send(data)
        return connection


@pytest.fixture
def server() -> Iterator[Server]:
    """One that nobody has asked yet."""
    case = Server()
    case.setUp()
    yield case
    # A query that is never answered would end within whatever test runs when it is
    # collected as garbage.
    case.clock.advance(60)


def names(answer: Answer) -> list[object]:
    """The servers whose documents are in an answer."""
    assert answer.status == 200
    documents = answer.json["server_keys"]
    assert isinstance(documents, list)
    return [each["server_name"] for each in documents]


GETS = [
    "/a.example",
    "/a.example/",
    "/a.example?",
    "/a.example?minimum_valid_until_ts=1",
    "/a.example/?minimum_valid_until_ts=1&x=y",
    "/a.example/ed25519:1",
    "/a.example/ed25519%3A1",
    "/a.example/ed25519:1?minimum_valid_until_ts=1",
    "/%61.example",
]


@pytest.mark.parametrize("path", GETS)
def test_get(path: str, server: Server) -> None:
    """A server is asked for on a path, with or without a key ID and a slash."""
    answer = ask(server.site, "GET", QUERY + path)
    assert names(answer) == ["a.example"]
    [found] = json.loads(answer.body)["server_keys"]
    assert signers(found).keys() == {A.name, OWN.name}
    assert server.client.asked == []


def test_head(server: Server) -> None:
    """HEAD says how long the answer is."""
    get, head = (ask(server.site, m, f"{QUERY}/a.example") for m in ("GET", "HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(get.body)


@pytest.mark.parametrize("path", [QUERY, QUERY + "/", QUERY + "?x=y"])
def test_post(path: str, server: Server) -> None:
    """Several servers are asked for in a body."""
    server.store(document(K1, until=NOW + 24 * HOUR, server_name=B))
    body = b'{"server_keys":{"b.example":{},"a.example":{"ed25519:1":{}}}}'
    answer = ask(server.site, "POST", path, body=body)
    assert names(answer) == ["b.example", "a.example"]


def test_post_about_nobody(server: Server) -> None:
    """Who asks for nobody gets nothing, and that is no mistake."""
    assert server.post({}).body == EMPTY


def test_post_about_what_is_no_server(server: Server) -> None:
    """A name that nobody can have is as one of whom nothing is known."""
    assert names(server.post({"a_b": {}, "a.example": {}})) == ["a.example"]


def test_our_own_name(server: Server) -> None:
    """Asked for our own keys, we hand out our own document."""
    answer = ask(server.site, "GET", f"{QUERY}/own.example")
    assert answer.body == b'{"server_keys":[' + encode(OWN_DOCUMENT) + b"]}"


def test_minimum_of_a_path(server: Server) -> None:
    """A later end than the one that is known has the server asked first."""
    until = NOW + 24 * HOUR
    target = f"{QUERY}/a.example/ed25519:1?minimum_valid_until_ts={until}"
    assert names(ask(server.site, "GET", target)) == ["a.example"]
    later = target.replace(str(until), str(until + 1))
    connection = server.begin(request("GET", later))
    assert connection.answers() == []
    assert server.client.asked == ["v2 of a.example"]
    server.client.answer(document(K1, K2, until=NOW + 48 * HOUR))
    [answer] = connection.answers()
    [found] = json.loads(answer.body)["server_keys"]
    assert found["valid_until_ts"] == NOW + 48 * HOUR


def test_now_is_the_minimum(server: Server) -> None:
    """Where no time is named, what is wanted is valid at this moment."""
    server.clock.advance(25 * 3600)
    for data in (
        request("GET", f"{QUERY}/a.example"),
        request("POST", QUERY, body=b'{"server_keys":{"a.example":{"ed25519:1":{}}}}'),
    ):
        connection = server.begin(data)
        assert connection.answers() == []
        server.client.answer(UNREACHABLE)
        [answer] = connection.answers()
        assert names(answer) == ["a.example"]
        server.clock.advance(300)


def test_nobody_knows(server: Server) -> None:
    """A server that cannot be reached is not in the answer, which is a good one."""
    connection = server.begin(request("GET", f"{QUERY}/b.example"))
    server.client.answer(UNREACHABLE)
    [answer] = connection.answers()
    assert (answer.status, answer.body) == (200, EMPTY)


METHODS = [
    ("GET", QUERY, "POST"),
    ("HEAD", QUERY + "/", "POST"),
    ("PUT", QUERY, "POST"),
    ("DELETE", QUERY + "/", "POST"),
    ("POST", QUERY + "/a.example", "GET"),
    ("PUT", QUERY + "/a.example/", "GET"),
    ("POST", QUERY + "/a.example/ed25519:1", "GET"),
]


@pytest.mark.parametrize(("method", "path", "allowed"), METHODS)
def test_other_method(method: str, path: str, allowed: str, server: Server) -> None:
    """A path that is asked with another method is answered with those it has."""
    body = None if method in {"GET", "HEAD"} else b'{"server_keys":{}}'
    answer = ask(server.site, method, path, body=body)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert answer.error == (405, "M_UNRECOGNIZED")


DEEPER = [
    "/a.example/k/more",
    "//",
    "/a.example//",
    "/a.example//k",
    "/a/b/c/d",
]


@pytest.mark.parametrize("path", DEEPER)
def test_deeper_path(path: str, server: Server) -> None:
    """Below a key there is nothing."""
    answer = ask(server.site, "GET", QUERY + path)
    assert answer.error == (404, "M_UNRECOGNIZED")


BAD_GETS = [
    "/a_b",
    "/a.example:x",
    "/%00",
    "/a.example%2Fed25519:1",
    "/a.example?minimum_valid_until_ts=",
    "/a.example?minimum_valid_until_ts=now",
    "/a.example?minimum_valid_until_ts=-1",
    "/a.example?minimum_valid_until_ts=1&minimum_valid_until_ts=2",
]


@pytest.mark.parametrize("path", BAD_GETS)
def test_bad_get(path: str, server: Server) -> None:
    """A path that names no server, or a time that is none, is a mistake."""
    answer = ask(server.site, "GET", QUERY + path)
    assert answer.error == (400, "M_INVALID_PARAM")
    assert server.client.asked == []


BAD_POSTS: list[tuple[str, bytes | None, tuple[int, str]]] = [
    ("no body", None, (400, "M_NOT_JSON")),
    ("empty", b"", (400, "M_NOT_JSON")),
    ("no JSON", b"{", (400, "M_NOT_JSON")),
    ("list", b"[]", (400, "M_BAD_JSON")),
    ("nothing", b"{}", (400, "M_BAD_JSON")),
    ("keys are a list", b'{"server_keys":{"a.example":[]}}', (400, "M_BAD_JSON")),
    ("too large", b" " * (256 * 1024 + 1), (413, "M_TOO_LARGE")),
    (
        "101 servers",
        json.dumps({"server_keys": {f"{n}.example": {} for n in range(101)}}).encode(),
        (413, "M_TOO_LARGE"),
    ),
]


@pytest.mark.parametrize(
    ("body", "error"), [row[1:] for row in BAD_POSTS], ids=[row[0] for row in BAD_POSTS]
)
def test_bad_post(body: bytes | None, error: tuple[int, str], server: Server) -> None:
    """A body that is no question is a mistake, and nobody is asked for it."""
    assert ask(server.site, "POST", QUERY, body=body).error == error
    assert server.client.asked == []
    # What is a mistake costs nothing of what a client may ask for.
    assert server.post({}).status == 200


def test_a_client_may_ask_for_so_many_servers(server: Server) -> None:
    """Who asks for too many is told when to come again, and others are not."""
    hundred: Json = {f"{number}.example": {} for number in range(99)}
    hundred["a.example"] = {}
    data = request("POST", QUERY, body=encode({"server_keys": hundred}))
    for _ in range(3):
        server.begin(data)
    [refused] = server.begin(data).answers()
    assert refused.error == (429, "M_LIMIT_EXCEEDED")
    assert refused.headers["retry-after"] == "20"  # a hundred servers, five a second
    refused = ask(server.site, "GET", f"{QUERY}/a.example")
    assert refused.error == (429, "M_LIMIT_EXCEEDED")
    assert refused.headers["retry-after"] == "1"
    assert server.post({}).status == 200

    other = Connection(server.site, "192.0.2.2")
    other.send(request("GET", f"{QUERY}/a.example"))
    assert names(other.answers()[0]) == ["a.example"]

    server.clock.advance(1)
    for status in [200] * 5 + [429]:
        assert ask(server.site, "GET", f"{QUERY}/a.example").status == status


def test_our_own_documents_are_for_all(server: Server) -> None:
    """Who has asked for too many servers still gets our own document."""
    for number in range(301):
        server.begin(request("GET", f"{QUERY}/{number}.example"))
    assert ask(server.site, "GET", f"{QUERY}/a.example").status == 429
    assert ask(server.site, "GET", "/_matrix/key/v2/server").status == 200
    assert ask(server.site, "GET", "/_matrix/key/v1").status == 200


def test_a_store_that_fails(server: Server) -> None:
    """Where the store fails, that is our fault and not an answer."""
    server.shelf.fails = True
    answer = ask(server.site, "GET", f"{QUERY}/a.example")
    assert answer.error == (503, "M_UNKNOWN")


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("path", ["", "/", "/a.example", "/a.example/ed25519:1"])
def test_no_notary(path: str, method: str, server: Server) -> None:
    """Where the notary is turned off, there is no such route, whatever the method."""
    body = b'{"server_keys":{}}' if method == "POST" else None
    answer = ask(server.without_notary, method, QUERY + path, body=body)
    assert answer.status == 404
    if method != "HEAD":
        assert answer.error == (404, "M_UNRECOGNIZED")


def test_who_hangs_up_disturbs_nobody(server: Server) -> None:
    """Who hangs up while a server is asked leaves the fetch to the others."""
    first, second = (
        server.begin(request("GET", f"{QUERY}/b.example")) for _ in range(2)
    )
    first.lose()
    server.client.answer(document(K1, until=NOW + 24 * HOUR, server_name=B))
    assert first.answers() == []
    assert parse_object(second.answers()[0].body).keys() == {"server_keys"}
    assert server.client.asked == ["v2 of b.example"]

"""The routes that other servers ask, and what each of them answers."""

import json
import re

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from homeserver import __version__
from homeserver.config.values import Profile
from homeserver.net.cause import Cause
from homeserver.protocol.canonical_json import Json, as_list, as_object, encode
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.events.event import event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import parse_v1, parse_v2
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.coroutines import result_of
from tests.support.federation_side import Endpoint
from tests.support.http_connection import Answer, Connection, ask, request
from tests.support.pdus import message
from tests.support.signed_requests import (
    OTHERS,
    THEM,
    US,
    KnownKeys,
    Peer,
    SlowKeys,
    UnreachableKeys,
    signing_key,
)

SEND = "/_matrix/federation/v1/send/1"
QUERY = "/_matrix/federation/v1/query"
PROFILE = f"{QUERY}/profile?user_id=@a:us.example"

PROFILES = {
    "@a:us.example": Profile("Ä", "mxc://us.example/a"),
    "@b:us.example": Profile(displayname="B"),
}


def ask_signed(
    endpoint: Endpoint,
    method: str,
    target: str,
    content: Json | None = None,
    peer: Peer = THEM,
) -> Answer:
    """The answer to a request that a peer has signed."""
    header = "Authorization: " + peer.authorize(method, target, content)
    body = None if content is None else encode(content)
    return ask(endpoint.site, method, target, [header], body)


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


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "OPTIONS", "X"])
@pytest.mark.parametrize(("path", "known"), [row[:2] for row in ROUTES])
def test_other_method(path: str, known: str, method: str) -> None:
    """A known path with another method says which methods it has."""
    if method == known:
        return
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


def test_send() -> None:
    """A signed transaction is recorded, and its reply has its events."""
    endpoint = Endpoint()
    pdu = message()
    answer = ask_signed(endpoint, "PUT", SEND, {"pdus": [pdu]})
    own_id = event_id(pdu, ROOM_VERSIONS["12"])
    assert (answer.status, answer.json) == (200, {"pdus": {own_id: {}}})
    [recorded] = endpoint.received
    assert (recorded["origin"], recorded["txn_id"]) == ("them.example", "1")
    assert recorded["verified_by"] == {
        "key_id": "ed25519:t_1",
        "client_certificate": None,
    }


TXN_IDS: list[tuple[str, str]] = [
    ("1", "1"),
    ("1/", "1"),
    ("1?x=y", "1"),
    ("a%2Fb", "a/b"),
    ("a%2fb", "a/b"),
    ("a%3Fb", "a?b"),
    ("%24a:b+c", "$a:b+c"),
    ("%C3%A4", "ä"),
    ("%2e%2e", ".."),
]


@pytest.mark.parametrize(("step", "txn_id"), TXN_IDS)
def test_transaction_id(step: str, txn_id: str) -> None:
    """What is signed is the path on the wire; the ID is what it stands for."""
    endpoint = Endpoint()
    target = f"/_matrix/federation/v1/send/{step}"
    assert ask_signed(endpoint, "PUT", target, {"pdus": []}).status == 200
    assert [each["txn_id"] for each in endpoint.received] == [txn_id]


def test_target_that_a_proxy_has_changed() -> None:
    """A target that means the same but is not the one that was signed is refused."""
    endpoint = Endpoint()
    header = THEM.authorize("PUT", SEND + "%2F", {"pdus": []})
    answer = ask(
        endpoint.site,
        "PUT",
        SEND + "%2f",
        [f"Authorization: {header}"],
        b'{"pdus":[]}',
    )
    assert answer.error == (401, "M_UNAUTHORIZED")
    assert endpoint.received == []


def test_repeated_transaction() -> None:
    """A transaction that is sent again gets its reply again."""
    endpoint = Endpoint()
    first = ask_signed(endpoint, "PUT", SEND, {"pdus": [message()]})
    again = ask_signed(endpoint, "PUT", SEND, {"pdus": [message()]})
    assert (again.status, again.body) == (200, first.body)
    assert len(endpoint.received) == 1


BODIES: list[tuple[str, bytes | None, int, str]] = [
    ("none", None, 400, "M_NOT_JSON"),
    ("an empty one", b"", 400, "M_NOT_JSON"),
    ("not JSON", b"{", 400, "M_NOT_JSON"),
    ("not UTF-8", b'{"pdus":["\xff"]}', 400, "M_NOT_JSON"),
    ("a list", b"[]", 400, "M_BAD_JSON"),
    ("a member twice", b'{"pdus":[{"a":1}],"pdus":[]}', 400, "M_BAD_JSON"),
    ("nested", b"[" * 600 + b"]" * 600, 400, "M_BAD_JSON"),
    ("a number out of range", b'{"pdus":1e999}', 400, "M_NOT_JSON"),
    ("another one", b'{"pdus":[{}]}', 401, "M_UNAUTHORIZED"),
]


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [row[1:] for row in BODIES],
    ids=[row[0] for row in BODIES],
)
def test_body_that_was_not_signed(
    body: bytes | None, status: int, errcode: str
) -> None:
    """A body is read before it is compared with what was signed."""
    endpoint = Endpoint()
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"pdus": []})
    answer = ask(endpoint.site, "PUT", SEND, [header], body)
    assert answer.error == (status, errcode)
    assert endpoint.received == []


# What stands in a PDU as it is written, and what its sender reads there.
FLAWS: list[tuple[bytes, object]] = [
    (b"18446744073709551616", 2**64),
    (b'{"a":1,"a":2}', {"a": 2}),
    (b'{"a":' * 120 + b"5" + b"}" * 120, json.loads('{"a":' * 120 + "5" + "}" * 120)),
]


@pytest.mark.parametrize(("written", "value"), FLAWS)
def test_one_bad_pdu_costs_that_pdu(written: bytes, value: object) -> None:
    """The rest of its transaction is processed, and the reply says what is wrong."""
    endpoint = Endpoint()
    good, bad = message(), message(depth=9, content={"x": 123456789})
    content: Json = {
        "edus": [{"edu_type": "m.x", "content": {"x": value}}],
        "pdus": [good, bad | {"content": {"x": value}}, 5],
    }
    body = b'{"edus":[{"content":{"x":%b},"edu_type":"m.x"}],"pdus":[%b,%b,5]}' % (
        written,
        encode(good),
        encode(bad).replace(b"123456789", written),
    )
    header = "Authorization: " + THEM.authorize("PUT", SEND, content)
    answer = ask(endpoint.site, "PUT", SEND, [header], body)
    assert answer.status == 200
    [received] = endpoint.received
    first, second, third = as_list(received["pdus"], "PDUs")
    assert isinstance(second, dict)
    assert second["event_id"] == event_id(bad, ROOM_VERSIONS["11"])
    assert second["event"] == encode(bad).replace(b"123456789", written).decode()
    assert answer.json["pdus"] == {
        event_id(good, ROOM_VERSIONS["11"]): {},
        second["event_id"]: {"error": second["verdict"]},
    }
    assert as_object(first, "a PDU")["verdict"] == "accepted"
    assert as_object(third, "a PDU")["event"] == "5"
    assert received["edus"] == []
    [problem] = as_list(received["problems"], "problems")
    assert str(problem).startswith("EDU 0: ")
    unsigned = "Authorization: " + THEM.authorize("PUT", SEND, {"pdus": []})
    refused = ask(endpoint.site, "PUT", SEND, [unsigned], body)
    assert refused.error == (401, "M_UNAUTHORIZED")


def test_too_many_values() -> None:
    """A body of more than 200,000 values is refused before it is read."""
    endpoint = Endpoint(max_body_bytes=1_000_000)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"pdus": []})
    body = b'{"pdus":[' + b"0," * 200_000  # and no JSON
    answer = ask(endpoint.site, "PUT", SEND, [header], body)
    assert answer.error == (413, "M_TOO_LARGE")
    assert answer.json["error"] == "the JSON has more than 200000 values"


CONTENTS: list[tuple[str, Json | None, int, str]] = [
    ("nothing", None, 400, "M_NOT_JSON"),
    ("an empty object", {}, 400, "M_BAD_JSON"),
    ("no list", {"pdus": 5}, 400, "M_BAD_JSON"),
    ("too many", {"pdus": [{}] * 51}, 400, "M_BAD_JSON"),
]


@pytest.mark.parametrize(
    ("content", "status", "errcode"),
    [row[1:] for row in CONTENTS],
    ids=[row[0] for row in CONTENTS],
)
def test_signed_nonsense(content: Json | None, status: int, errcode: str) -> None:
    """A signature does not make a transaction of what is none."""
    endpoint = Endpoint()
    assert ask_signed(endpoint, "PUT", SEND, content).error == (status, errcode)
    assert endpoint.received == []


@pytest.mark.parametrize("body", [None, b"", b"{", b"{}"])
def test_header_is_judged_before_the_body(body: bytes | None) -> None:
    """Without a header the answer is 401, whatever the body, and if there is none."""
    answer = ask(Endpoint().site, "PUT", SEND, [], body)
    assert answer.error == (401, "M_UNAUTHORIZED")


@pytest.mark.parametrize("authority", ["us.example", "else.example:8448", "[::1]:1"])
@pytest.mark.parametrize("scheme", ["https", "http", "HTTPS"])
def test_absolute_target(scheme: str, authority: str) -> None:
    """A target with scheme and authority is the one that was signed without them."""
    endpoint = Endpoint(profiles=PROFILES)
    empty: Json = {"pdus": []}
    requests: list[tuple[str, str, Json | None]] = [
        ("GET", PROFILE, None),
        ("PUT", SEND, empty),
    ]
    for method, target, content in requests:
        header = f"Authorization: {THEM.authorize(method, target, content)}"
        body = None if content is None else encode(content)
        absolute = f"{scheme}://{authority}{target}"
        assert ask(endpoint.site, method, absolute, [header], body).status == 200


def test_absolute_target_that_was_signed() -> None:
    """What is signed is path and query, not the URL that they stand in."""
    target = f"https://us.example{SEND}"
    answer = ask_signed(Endpoint(), "PUT", target, {"pdus": []})
    assert answer.error == (401, "M_UNAUTHORIZED")


HEADS: list[tuple[str, str | None, int]] = [
    ("no header", None, 401),
    ("another scheme", "Basic YTpi", 400),
    ("another destination", "ELSEWHERE", 401),
    ("a malformed header", "X-Matrix origin=", 400),
]


@pytest.mark.parametrize(
    ("header", "status"), [row[1:] for row in HEADS], ids=[row[0] for row in HEADS]
)
@pytest.mark.parametrize(
    "framing", ["Content-Length: 99999", "Transfer-Encoding: chunked"]
)
def test_refused_before_the_body(header: str | None, status: int, framing: str) -> None:
    """What cannot be proven whatever the body is, is answered before it comes."""
    endpoint = Endpoint()
    if header == "ELSEWHERE":
        header = THEM.authorize("PUT", SEND, {}, destination=OTHERS.server_name)
    headers = [] if header is None else [f"Authorization: {header}"]
    connection = Connection(endpoint.site)
    connection.send(request("PUT", SEND, [*headers, framing]))
    [answer] = connection.answers()
    assert answer.error == (status, "M_UNAUTHORIZED")
    assert connection.is_closed
    endpoint.clock.advance(1)
    [known] = result_of(endpoint.refusals.after(0, None, 9, 0))
    assert (known.status, known.address) == (status, "192.0.2.1")
    connection.lose()


def test_nothing_is_judged_after_a_refusal() -> None:
    """Of requests that come with one that is refused, nothing is looked at."""
    endpoint = Endpoint()
    connection = Connection(endpoint.site)
    connection.send(request("PUT", SEND, body=b"{}") * 3)
    assert [answer.status for answer in connection.answers()] == [401]
    endpoint.clock.advance(1)
    assert len(result_of(endpoint.refusals.after(0, None, 9, 0))) == 1
    connection.lose()
    malformed = Connection(endpoint.site)
    malformed.send(b"nonsense\r\n" + request("PUT", SEND, body=b"{}"))
    assert [answer.status for answer in malformed.answers()] == [400]
    endpoint.clock.advance(1)
    assert len(result_of(endpoint.refusals.after(1, None, 9, 0))) == 1
    malformed.lose()


def test_bodies_that_prove_nothing() -> None:
    """A client that sends too many is refused by its head for a while; others not."""
    endpoint = Endpoint(max_body_bytes=10**7)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"a": "b"})
    wrong = encode({"a": "x" * (16384 * 500 - 100)})
    answers = []
    for _ in range(3):
        connection = Connection(endpoint.site)
        connection.send(request("PUT", SEND, [header], wrong))
        answers += connection.answers()
        connection.lose()
    assert [answer.status for answer in answers] == [401, 401, 429]
    assert answers[-1].error == (429, "M_LIMIT_EXCEEDED")
    assert answers[-1].headers["retry-after"] == "1"
    connection = Connection(endpoint.site)
    connection.send(request("PUT", SEND, [header, "Content-Length: 99999"]))
    assert [answer.status for answer in connection.answers()] == [429]
    connection.lose()
    other = Connection(endpoint.site, "192.0.2.2")
    good = "Authorization: " + THEM.authorize("PUT", SEND, {"pdus": []})
    other.send(request("PUT", SEND, [good], encode({"pdus": []})))
    assert [answer.status for answer in other.answers()] == [200]
    assert endpoint.unproven.bound.refusals == 2


def test_a_body_may_cost_more_than_is_left() -> None:
    """What a body costs beyond the tokens that are there has to be waited for."""
    endpoint = Endpoint(max_body_bytes=10**7)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"a": "b"})
    wrong = encode({"a": "x" * (16384 * 600 - 100)})
    statuses = []
    for seconds in (0, 0, 3, 0.98, 0.05):  # 1000, 400, -50, -1, 1 tokens
        endpoint.clock.advance(seconds)
        connection = Connection(endpoint.site)
        connection.send(request("PUT", SEND, [header], wrong))
        statuses += [answer.status for answer in connection.answers()]
        connection.lose()
    assert statuses == [401, 401, 429, 429, 401]


def test_tokens_come_back() -> None:
    """A client that was refused is heard again when it has a token."""
    endpoint = Endpoint(max_body_bytes=10**7)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"a": "b"})
    wrong = encode({"a": "x" * (16384 * 500 - 100)})
    for _ in range(2):
        connection = Connection(endpoint.site)
        connection.send(request("PUT", SEND, [header], wrong))
        connection.lose()
    endpoint.clock.advance(1)
    assert ask_signed(endpoint, "PUT", SEND, {"pdus": []}).status == 200


def test_bodies_that_prove_something_cost_nothing() -> None:
    """Whoever is proven may send without end."""
    endpoint = Endpoint(max_body_bytes=10**7)
    content: Json = {"pdus": [], "x": "y" * 16384 * 400}
    for _ in range(4):
        assert ask_signed(endpoint, "PUT", SEND, content).status == 200
    assert endpoint.unproven.bound.use() == 0
    assert endpoint.unproven.bound.refusals == 0


def test_a_body_that_is_not_read_costs_nothing() -> None:
    """A wrong signature of a body is charged, not one by an unknown key, or of none."""
    endpoint = Endpoint(keyring=KnownKeys(THEM))
    uri = "/_matrix/federation/v1/query/profile?user_id=@a:us.example"
    header = "Authorization: " + THEM.authorize("GET", "/other")
    assert ask(endpoint.site, "GET", uri, [header]).status == 401
    header = "Authorization: " + OTHERS.authorize("PUT", SEND, {})
    assert ask(endpoint.site, "PUT", SEND, [header], b"{}").status == 401
    assert endpoint.unproven.bound.use() == 0
    header = "Authorization: " + THEM.authorize("PUT", "/other", {})
    assert ask(endpoint.site, "PUT", SEND, [header], b"{}").status == 401
    assert endpoint.unproven.bound.use() == 1


class LateKeys(KnownKeys):
    """A keyring whose keys come when the test says so."""

    def __init__(self, *peers: Peer) -> None:
        super().__init__(*peers)
        self.fetched: Deferred[None] = Deferred()

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """A key that is known, later."""
        await self.fetched
        return await super().request_key(server_name, key_id, cause)


def test_a_body_gives_way_while_its_keys_are_fetched() -> None:
    """A request that waits for keys is answered with 503 where others need the room."""
    keys = LateKeys(THEM)
    endpoint = Endpoint(keyring=keys, max_body_bytes=1000, max_arriving_bytes=1000)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"pdus": []})
    waiting = Connection(endpoint.site)
    waiting.send(request("PUT", SEND, [header], b"x" * 900))
    assert waiting.answers() == []
    other = Connection(endpoint.site, "192.0.2.2")
    other.send(request("PUT", SEND, [header, "Content-Length: 500"]), b"x" * 400)
    [answer] = waiting.answers()
    assert answer.error == (503, "M_LIMIT_EXCEEDED")
    assert waiting.is_closed
    keys.fetched.callback(None)
    endpoint.clock.advance(1)
    assert len(waiting.answers()) == 1
    [refused] = result_of(endpoint.refusals.after(0, None, 9, 0))
    assert refused.status == 503
    for each in (waiting, other):
        each.lose()


@pytest.mark.parametrize("target", ["send", "send/", "send//"])
def test_transaction_without_an_id(target: str) -> None:
    """A path without a transaction ID leads nowhere."""
    path = f"/_matrix/federation/v1/{target}"
    answer = ask_signed(Endpoint(), "PUT", path, {"pdus": []})
    assert answer.error == (404, "M_UNRECOGNIZED")


def test_body_with_floats() -> None:
    """An envelope may have numbers that canonical JSON has not."""
    content: Json = {"pdus": [], "origin_server_ts": 1, "x": 1.5, "y": 2**60}
    assert ask_signed(Endpoint(), "PUT", SEND, content).status == 200


AUTHORIZATIONS: list[tuple[str, list[bytes], int]] = [
    ("none", [], 401),
    ("another scheme", [b"Basic YTpi"], 400),
    ("bytes of no encoding", [b'X-Matrix origin="\xff\xfe"'], 400),
    ("UTF-8", ['X-Matrix origin="ä"'.encode()], 400),
    ("nothing", [b""], 400),
]


@pytest.mark.parametrize(
    ("headers", "status"),
    [row[1:] for row in AUTHORIZATIONS],
    ids=[row[0] for row in AUTHORIZATIONS],
)
def test_bad_authorization(headers: list[bytes], status: int) -> None:
    """Whatever is in an Authorization header, it is the peer's fault."""
    connection = Connection(Endpoint(profiles=PROFILES).site)
    good = THEM.authorize("GET", PROFILE).encode()
    lines = b"".join(
        b"Authorization: %b\r\n" % header.replace(b"GOOD", good) for header in headers
    )
    head = b"GET %b HTTP/1.1\r\nHost: us.example\r\n" % PROFILE.encode()
    connection.send(head + lines + b"\r\n")
    [answer] = connection.answers()
    assert answer.error == (status, "M_UNAUTHORIZED")


def test_who_is_heard() -> None:
    """Of each request that is proven, its origin is known to be up; of no other."""
    endpoint = Endpoint()
    ask_signed(endpoint, "GET", PROFILE)
    ask_signed(endpoint, "PUT", SEND, {"pdus": []}, OTHERS)
    assert endpoint.heard == [THEM.server_name, OTHERS.server_name]
    forged = Peer(THEM.server_name, OTHERS.key)
    assert ask_signed(endpoint, "GET", PROFILE, peer=forged).status == 401
    assert ask(endpoint.site, "GET", PROFILE).status == 401
    assert len(endpoint.heard) == 2


def test_several_authorizations() -> None:
    """Of several headers, one good one is enough."""
    headers = [
        "Authorization: " + THEM.authorize("GET", PROFILE, key=key)
        for key in (signing_key("t_2", b"7"), THEM.key)
    ]
    endpoint = Endpoint(profiles=PROFILES)
    assert ask(endpoint.site, "GET", PROFILE, headers).status == 200


def test_request_for_somebody_else() -> None:
    """A request for another server is refused, and says who this is."""
    header = THEM.authorize("GET", PROFILE, destination=OTHERS.server_name)
    endpoint = Endpoint(profiles=PROFILES)
    answer = ask(endpoint.site, "GET", PROFILE, [f"Authorization: {header}"])
    assert answer.error == (401, "M_UNAUTHORIZED")
    assert "us.example" in str(answer.json["error"])


PROFILE_ANSWERS: list[tuple[str, Json]] = [
    (
        "?user_id=@a:us.example",
        {"displayname": "Ä", "avatar_url": "mxc://us.example/a"},
    ),
    (
        "?user_id=%40a%3Aus.example",
        {"displayname": "Ä", "avatar_url": "mxc://us.example/a"},
    ),
    ("?user_id=@a:us.example&field=displayname", {"displayname": "Ä"}),
    (
        "?field=avatar_url&user_id=@a:us.example",
        {"avatar_url": "mxc://us.example/a"},
    ),
    ("?user_id=@a:us.example&field=other", {}),
    ("?user_id=@b:us.example", {"displayname": "B"}),
    ("?user_id=@b:us.example&field=avatar_url", {}),
]


@pytest.mark.parametrize(("query", "expected"), PROFILE_ANSWERS)
def test_profile(query: str, expected: Json) -> None:
    """A profile is told whole, or one field of it, as far as it has it."""
    endpoint = Endpoint(profiles=PROFILES)
    answer = ask_signed(endpoint, "GET", f"{QUERY}/profile{query}")
    assert (answer.status, answer.json) == (200, expected)


BAD_QUERIES: list[tuple[str, int, str]] = [
    ("/profile", 400, "M_MISSING_PARAM"),
    ("/profile?user_id", 400, "M_MISSING_PARAM"),
    ("/profile?user_id=", 404, "M_NOT_FOUND"),
    ("/profile?user_id=@a:us.example&user_id=@b:us.example", 400, "M_INVALID_PARAM"),
    ("/profile?user_id=@c:us.example", 404, "M_NOT_FOUND"),
    ("/profile?user_id=@a:them.example", 404, "M_NOT_FOUND"),
    ("/profile?user_id=@A:us.example", 404, "M_NOT_FOUND"),
    ("/profile?user_id=%ff", 404, "M_NOT_FOUND"),
    ("/directory?room_alias=%23a:us.example", 404, "M_NOT_FOUND"),
    ("/other", 404, "M_NOT_FOUND"),
    ("/%ff", 404, "M_NOT_FOUND"),
    ("/", 404, "M_UNRECOGNIZED"),
]


@pytest.mark.parametrize(("query", "status", "errcode"), BAD_QUERIES)
def test_bad_query(query: str, status: int, errcode: str) -> None:
    """A query for what is not here says so."""
    endpoint = Endpoint(profiles=PROFILES)
    assert ask_signed(endpoint, "GET", QUERY + query).error == (status, errcode)


def test_query_with_a_body() -> None:
    """The body of a GET counts as every body does."""
    endpoint = Endpoint(profiles=PROFILES)
    assert ask_signed(endpoint, "GET", PROFILE, {}).status == 200
    header = "Authorization: " + THEM.authorize("GET", PROFILE)
    answer = ask(endpoint.site, "GET", PROFILE, [header], b"{}")
    assert answer.error == (401, "M_UNAUTHORIZED")


class BrokenKeys(KnownKeys):
    """A keyring whose store fails."""

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """Fail."""
        raise StoreUnavailable("/var/lib/secret is full")


def test_keys_are_fetched_for_the_client() -> None:
    """Whoever sends a request, its address is the cause of all that is fetched."""
    keyring = KnownKeys(THEM, OTHERS)
    endpoint = Endpoint(keyring=keyring)
    content: Json = {"pdus": [message()]}
    assert ask_signed(endpoint, "PUT", SEND, content).status == 200
    assert len(keyring.causes) > 1  # of the request, and of its PDU
    assert set(keyring.causes) == {Cause("192.0.2.1")}


def test_who_learns_what_of_a_refusal() -> None:
    """The peer learns which check failed, the operator what happened at the address."""
    endpoint = Endpoint(keyring=UnreachableKeys())
    answer = ask_signed(endpoint, "GET", PROFILE)
    assert answer.json == {"errcode": "M_UNAUTHORIZED", "error": "no connection"}
    endpoint.clock.advance(1)
    [refusal] = result_of(endpoint.refusals.after(0, None, 10, 0))
    assert refusal.error.startswith("127.0.0.1:22: it is not TLS: ")


@pytest.mark.parametrize("filling", ["x", '"', "\\", "\0", "ü", "\U0001f600"])
def test_length_of_a_refusal(filling: str) -> None:
    """A refusal has two kilobytes at most, whatever is in the reason."""

    class LongReason(KnownKeys):
        async def request_key(
            self, server_name: ServerName, key_id: KeyId, cause: Cause
        ) -> VerifyKey:
            raise Unauthorized("why: " + filling * 5000)

    answer = ask_signed(Endpoint(keyring=LongReason()), "GET", PROFILE)
    assert answer.error == (401, "M_UNAUTHORIZED")
    assert 1200 < len(answer.body) <= 2048
    assert str(answer.json["error"]).startswith("why: " + filling * 9)
    assert str(answer.json["error"]).endswith(filling + "...")


def test_store_that_fails() -> None:
    """A store that cannot be used is our fault, and passes."""
    answer = ask_signed(Endpoint(keyring=BrokenKeys()), "GET", PROFILE)
    assert answer.error == (503, "M_UNKNOWN")
    assert b"secret" not in answer.body


def test_transactions_on_one_connection() -> None:
    """A peer keeps its connection for one transaction after the other."""
    endpoint = Endpoint()
    connection = Connection(endpoint.site)
    for number in range(3):
        target = f"/_matrix/federation/v1/send/{number}"
        header = THEM.authorize("PUT", target, {"pdus": []})
        connection.send(
            request("PUT", target, [f"Authorization: {header}"], b'{"pdus":[]}')
        )
    assert [answer.status for answer in connection.answers()] == [200] * 3
    assert [each["txn_id"] for each in endpoint.received] == ["0", "1", "2"]


class SlowRequestKeys(KnownKeys):
    """A keyring whose answers come when the test says so."""

    def __init__(self, *peers: Peer) -> None:
        super().__init__(*peers)
        self.waiting: list[Deferred[None]] = []

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """The key, after a while."""
        answer: Deferred[None] = Deferred()
        self.waiting.append(answer)
        await answer
        return await super().request_key(server_name, key_id, cause)


class WaitingTests(SynchronousTestCase):
    """Requests whose keys have to be waited for."""

    def test_transactions_that_wait_for_another_one(self) -> None:
        """Who sends on before an answer is told when to come again, and comes then."""
        endpoint = Endpoint(keyring=SlowKeys(THEM))
        connections = [Connection(endpoint.site) for _ in range(4)]
        for number, connection in enumerate(connections):
            target = f"/_matrix/federation/v1/send/{number}"
            content: Json = {"pdus": [message(depth=number)]}
            header = THEM.authorize("PUT", target, content)
            lines = [f"Authorization: {header}"]
            connection.send(request("PUT", target, lines, encode(content)))
        [refused] = connections[3].answers()
        self.assertEqual(refused.error, (429, "M_LIMIT_EXCEEDED"))
        self.assertEqual(refused.headers["retry-after"], "5")
        # The first gives up its keys after twenty seconds, the second after forty.
        for _ in range(301):
            endpoint.clock.advance(0.1)
        self.assertEqual([a.status for a in connections[0].answers()], [200])
        self.assertEqual(connections[1].answers(), [])
        [refused] = connections[2].answers()
        self.assertEqual(refused.error, (429, "M_LIMIT_EXCEEDED"))
        self.assertEqual(refused.headers["retry-after"], "5")

    def test_client_that_is_gone(self) -> None:
        """Of a client that is gone before its keys are there, nothing is recorded."""
        keyring = SlowRequestKeys(THEM)
        endpoint = Endpoint(keyring=keyring)
        connection = Connection(endpoint.site)
        header = THEM.authorize("PUT", SEND, {"pdus": []})
        connection.send(
            request("PUT", SEND, [f"Authorization: {header}"], b'{"pdus":[]}')
        )
        connection.lose()
        keyring.waiting[0].callback(None)
        self.assertEqual(endpoint.received, [])
        endpoint.clock.advance(1)
        [refusal] = self.successResultOf(
            Deferred.fromCoroutine(endpoint.refusals.after(0, None, 9, 0))
        )
        self.assertIn("disconnected before", refusal.error)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_client_that_is_gone_when_it_is_proven(self) -> None:
        """The transaction of a client that is gone after its proof is received."""

        class SlowProof(KnownKeys):
            proof: Deferred[None] = Deferred()

            async def prove(self, server_name: ServerName) -> None:
                await self.proof

        keyring = SlowProof(THEM)
        endpoint = Endpoint(keyring=keyring)
        connection = Connection(endpoint.site)
        header = THEM.authorize("PUT", SEND, {"pdus": []})
        connection.send(
            request("PUT", SEND, [f"Authorization: {header}"], b'{"pdus":[]}')
        )
        connection.lose()
        keyring.proof.callback(None)
        self.assertEqual(len(endpoint.received), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

"""Requests that have to be signed: what is proven, what is refused, and when.

What cannot be proven is refused before its body is read. The peer learns which check
failed, and the operator everything.
"""

import pytest

from homeserver.net.cause import Cause
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.coroutines import result_of
from tests.support.federation_side import PROFILE, PROFILES, SEND, Endpoint, ask_signed
from tests.support.http_connection import Connection, ask, request
from tests.support.pdus import message
from tests.support.signed_requests import (
    OTHERS,
    THEM,
    KnownKeys,
    Peer,
    UnreachableKeys,
    signing_key,
)


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


@pytest.mark.parametrize("body", [None, b"", b"{", b"{}"])
def test_header_is_judged_before_the_body(body: bytes | None) -> None:
    """Without a header the answer is 401, whatever the body, and if there is none."""
    answer = ask(Endpoint().site, "PUT", SEND, [], body)
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


class BrokenKeys(KnownKeys):
    """A keyring whose store fails."""

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """Fail."""
        raise StoreUnavailable("/var/lib/secret is full")


def test_store_that_fails() -> None:
    """A store that cannot be used is our fault, and passes."""
    answer = ask_signed(Endpoint(keyring=BrokenKeys()), "GET", PROFILE)
    assert answer.error == (503, "M_UNKNOWN")
    assert b"secret" not in answer.body

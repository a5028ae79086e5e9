"""Which mistake explains a request's signature: each mistake, made without our code."""

import json
from collections.abc import Callable

import pytest

from homeserver.protocol.diagnosis import requests
from homeserver.protocol.diagnosis.request_parts import MAX_BODY_BYTES, ReceivedRequest
from homeserver.protocol.diagnosis.requests import diagnose_request
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.slices import run
from homeserver.protocol.xmatrix import Authorization
from tests.support.diagnosed_requests import (
    BODY,
    CURRENT,
    DELEGATED,
    KEY_ID,
    ORIGIN,
    OURS,
    PLAIN_PDU,
    SEED,
    SEND,
    codes,
    diagnose,
    signed_object,
)
from tests.support.plain_json import Object, canonical, compact, without


@pytest.mark.parametrize("body", [None, {}, BODY, {"n": [1.5, 2**60, -0.0, 1e300]}])
def test_right(body: Object | None) -> None:
    """There is no hint on what verifies."""
    sent = None if body is None else body
    assert diagnose(canonical(signed_object(body)), sent) == []


MEMBERS: list[tuple[str, Callable[[Object], Object], str]] = [
    ("method", lambda o: {**o, "method": "put"}, "method"),
    ("other method", lambda o: {**o, "method": "POST"}, "method"),
    ("no uri", lambda o: without(o, "uri"), "uri-missing"),
    ("no destination", lambda o: without(o, "destination"), "destination-missing"),
    ("no port", lambda o: {**o, "destination": "us.example"}, "destination"),
    ("delegated", lambda o: {**o, "destination": DELEGATED}, "destination"),
    ("another name", lambda o: {**o, "destination": "other.example"}, "destination"),
    ("empty", lambda o: {**o, "destination": ""}, "destination"),
    ("null", lambda o: {**o, "destination": None}, "destination"),
    ("URL", lambda o: {**o, "destination": f"https://{OURS}"}, "destination"),
    ("no origin", lambda o: without(o, "origin"), "origin-missing"),
    ("capitals", lambda o: {**o, "origin": ORIGIN.lower()}, "origin"),
    ("origin's port", lambda o: {**o, "origin": "Them.example"}, "origin"),
    ("default", lambda o: {**o, "origin": "Them.example:8448"}, "origin"),
    (
        "exchanged",
        lambda o: {**o, "origin": OURS, "destination": ORIGIN},
        "names-exchanged",
    ),
    ("signatures", lambda o: {**o, "signatures": {}}, "extra-member"),
    ("unsigned", lambda o: {**o, "unsigned": {}}, "extra-member"),
    ("no content", lambda o: without(o, "content"), "content-missing"),
    ("empty content", lambda o: {**o, "content": {}}, "content-empty"),
    ("null content", lambda o: {**o, "content": None}, "content-empty"),
    (
        "string",
        lambda o: {**o, "content": canonical(o["content"]).decode()},
        "content-string",
    ),
    (
        "content's unsigned",
        lambda o: {**o, "content": without(o["content"], "unsigned")},
        "content-members",
    ),
]


@pytest.mark.parametrize(("change", "code"), [each[1:] for each in MEMBERS])
def test_members(change: Callable[[Object], Object], code: str) -> None:
    """One member of the signed object is wrong."""
    assert codes(canonical(change(signed_object()))) == [code]


def test_members_within() -> None:
    """`unsigned` was left out of everything within the body."""
    content = {**without(BODY, "unsigned"), "pdus": [PLAIN_PDU]}
    found = diagnose(canonical({**signed_object(), "content": content}))
    assert [hint.code for hint in found] == ["content-members"]


@pytest.mark.parametrize("content", [{}, None, ""])
def test_content_without_body(content: object) -> None:
    """`content` was signed although nothing was sent."""
    message = canonical({**signed_object(None), "content": content})
    assert codes(message, sent=None) == ["content-without-body"]


def test_content_as_sent() -> None:
    """The bytes of the body were put into the signed object."""
    sent = json.dumps(BODY).encode()
    before, after = canonical({**signed_object(), "content": 7}).split(b"7")
    assert codes(before + sent + after, sent=sent) == ["content-as-sent"]
    message = canonical({**signed_object(), "content": sent.decode()})
    assert codes(message, sent=sent) == ["content-string"]


def test_content_alone() -> None:
    """The body was signed without the request around it."""
    assert codes(canonical(BODY)) == ["content-alone"]
    sent = json.dumps(BODY).encode()
    assert codes(sent, sent=sent) == ["content-alone"]


@pytest.mark.parametrize(("sent", "signed"), [(2.0, 2), (2**53 + 1, 2**53)])
def test_numbers(sent: float, signed: int) -> None:
    """JavaScript changed the numbers before they were signed."""
    content = {"n": [sent, {"m": sent}], "k": 1}
    changed = {"n": [signed, {"m": signed}], "k": 1}
    message = canonical({**signed_object(), "content": changed})
    assert codes(message, sent=content) == ["content-numbers"]


PAIRS: list[tuple[Callable[[Object], bytes], list[str]]] = [
    (
        lambda o: canonical({**without(o, "content"), "uri": "/send/t%211"}),
        ["signature-unknown"],
    ),
    (
        lambda o: canonical({**without(o, "content"), "destination": DELEGATED}),
        ["content-missing", "destination"],
    ),
    (
        lambda o: compact(without(o, "destination")),
        ["destination-missing", "json-unsorted"],
    ),
    (
        lambda o: canonical({**o, "method": "put", "destination": "us.example"}),
        ["destination", "method"],
    ),
]


@pytest.mark.parametrize(("write", "expected"), PAIRS)
def test_two_mistakes(write: Callable[[Object], bytes], expected: list[str]) -> None:
    """Two mistakes at once are both told; of three, none."""
    assert codes(write(signed_object()), sent=compact(BODY)) == expected


def test_unknown() -> None:
    """Where nothing explains the signature, the expected bytes are told."""
    [hint] = diagnose(b"?", None)
    assert hint.code == "signature-unknown"
    assert hint.expected == canonical(signed_object(None)).decode()


def test_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search ends where its work is used up."""
    monkeypatch.setattr(requests, "LIMIT_US", 300)
    message = canonical({**signed_object(), "method": "put"})
    assert codes(message) == ["signature-unknown"]
    assert codes(canonical(without(signed_object(), "content"))) == ["content-missing"]


def test_nothing_to_say() -> None:
    """Without keys, and for a body that is not JSON, there is no hint."""
    assert diagnose(b"?", keys=[]) == []
    assert diagnose(b"?", sent=b"[") == []


def test_large_bodies() -> None:
    """Of a body that is too large, only that it was not signed is found."""
    large = {"pdus": ["x" * MAX_BODY_BYTES]}
    message = canonical(signed_object(None))
    assert codes(message, sent=large) == ["content-missing"]
    both = canonical({**signed_object(None), "destination": DELEGATED})
    assert codes(both, sent=large) == ["content-missing", "destination"]
    assert codes(b"?", sent=large) == []


def test_several_signatures() -> None:
    """The first signature that is explained gives the hints."""
    name = ServerName.parse(ORIGIN)
    wrong = SEED.sign(b"?").signature
    right = SEED.sign(canonical(without(signed_object(), "content"))).signature
    authorizations = [
        Authorization(name, None, KEY_ID, each) for each in (wrong, right)
    ]
    request = ReceivedRequest("PUT", SEND, canonical(BODY), ServerName.parse(OURS))
    found = run(diagnose_request(request, authorizations, [CURRENT]))
    assert [hint.code for hint in found] == ["content-missing"]
    found = run(diagnose_request(request, authorizations[:1] * 3, [CURRENT]))
    assert [hint.code for hint in found] == ["signature-unknown"]
    assert requests.MAX_SIGNATURES == 2

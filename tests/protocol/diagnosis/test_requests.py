"""Which mistake explains a request's signature: each mistake, made without our code."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import nacl.signing
import pytest

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.diagnosis import requests
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.diagnosis.hint import CODES, MAX_TEXT, Hint
from homeserver.protocol.diagnosis.request_parts import MAX_BODY_BYTES, ReceivedRequest
from homeserver.protocol.diagnosis.requests import diagnose_request
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.protocol.slices import run
from homeserver.protocol.xmatrix import Authorization

ORIGIN = "Them.example:8449"
OURS = "us.example:8448"
DELEGATED = "matrix.us.example:443"

SEED = nacl.signing.SigningKey(b"1" * 32)
OTHER_SEED = nacl.signing.SigningKey(b"2" * 32)
KEY_ID = KeyId("ed25519:a_1")

SEND = "/_matrix/federation/v1/send/t%211?x=a+b&c=%2Fd"
PLAIN_PDU = {"type": "m.x", "content": {"body": "Grüße </a> &"}}
BODY = {
    "pdus": [{**PLAIN_PDU, "unsigned": {"a": 1}}],
    "origin": ORIGIN,
    "edus": [],
    "unsigned": {"age": 1},
}

Object = dict[str, Any]


def canonical(value: object) -> bytes:
    """Canonical JSON by the standard library."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def signed_object(body: Any = BODY, uri: str = SEND, method: str = "PUT") -> Object:
    """The signed object as it should be, in the order of the specification."""
    members = {"method": method, "uri": uri, "origin": ORIGIN, "destination": OURS}
    return members if body is None else {**members, "content": body}


def verify_key(key: nacl.signing.SigningKey, key_id: str = KEY_ID) -> VerifyKey:
    """The public half of a key."""
    return VerifyKey(KeyId(key_id), bytes(key.verify_key))


CURRENT = CandidateKey(verify_key(SEED))


def diagnose(
    message: bytes,
    sent: Object | bytes | None = BODY,
    *,
    keys: list[CandidateKey] | None = None,
    by: nacl.signing.SigningKey = SEED,
    uri: str = SEND,
    method: str = "PUT",
) -> list[Hint]:
    """The hints on a request whose origin signed `message`."""
    body = b"" if sent is None else sent if isinstance(sent, bytes) else canonical(sent)
    authorization = Authorization(
        ServerName.parse(ORIGIN),
        ServerName.parse(OURS),
        KEY_ID,
        by.sign(message).signature,
    )
    request = ReceivedRequest(
        method, uri, body, ServerName.parse(OURS), (DELEGATED, "other.example")
    )
    found = run(
        diagnose_request(request, [authorization], [CURRENT] if keys is None else keys)
    )
    assert {hint.code for hint in found} <= CODES.keys()
    return found


def codes(message: bytes, **more: Any) -> list[str]:
    """The codes of `diagnose`."""
    return [hint.code for hint in diagnose(message, **more)]


@pytest.mark.parametrize("body", [None, {}, BODY, {"n": [1.5, 2**60, -0.0, 1e300]}])
def test_right(body: Object | None) -> None:
    """There is no hint on what verifies."""
    sent = None if body is None else body
    assert diagnose(canonical(signed_object(body)), sent) == []


URIS = [
    ("/_matrix/federation/v1/send/t!1?x=a+b&c=/d", "uri-decoded"),
    ("/_matrix/federation/v1/send/t!1?x=a+b&c=%2Fd", "uri-decoded"),
    ("/_matrix/federation/v1/send/t%211", "uri-query"),
    ("/_matrix/federation/v1/send/t%211/?x=a+b&c=%2Fd", "uri-slash"),
    ("/send/t%211?x=a+b&c=%2Fd", "uri-prefix"),
    ("/federation/v1/send/t%211?x=a+b&c=%2Fd", "uri-prefix"),
    ("_matrix/federation/v1/send/t%211?x=a+b&c=%2Fd", "uri-prefix"),
    (f"https://{OURS}{SEND}", "uri-url"),
    (f"matrix://{DELEGATED}{SEND}", "uri-url"),
    ("/_matrix/federation/v1/send/t%211?x=a+b&c=%2fd", "uri-escapes"),
    ("/_matrix/federation/v1/send/t%25211?x=a+b&c=%2Fd", "uri-escapes"),
    ("/_matrix/federation/v1/send/t%211?x=a%20b&c=%2Fd", "uri-query"),
    ("/_matrix/federation/v1/send/t%211?c=%2Fd&x=a+b", "uri-query"),
]


@pytest.mark.parametrize(("signed", "code"), URIS)
def test_uri(signed: str, code: str) -> None:
    """Another target was signed; both are told."""
    [hint] = diagnose(canonical({**signed_object(), "uri": signed}))
    assert hint.code == code
    assert (hint.received, hint.expected) == (signed, SEND)


def test_uri_sent_plain() -> None:
    """The target was escaped when it was signed, and not when it was sent."""
    plain = "/_matrix/federation/v1/state/!r:a b\N{LATIN SMALL LETTER E WITH ACUTE}"
    escaped = "/_matrix/federation/v1/state/%21r%3Aa%20b%C3%A9"
    message = canonical(signed_object(None, escaped))
    [hint] = diagnose(message, None, uri=plain)
    assert hint.code == "uri-escapes"


def test_uri_slashes() -> None:
    """Slashes were joined, or one was added, before signing."""
    for sent, signed in (
        ("/_matrix//federation/v1/x/", "/_matrix/federation/v1/x/"),
        ("/_matrix/federation/v1/x/", "/_matrix/federation/v1/x"),
    ):
        message = canonical(signed_object(None, signed))
        assert codes(message, sent=None, uri=sent) == ["uri-slash"]


MEMBERS: list[tuple[str, Callable[[Object], Object], str]] = [
    ("method", lambda o: {**o, "method": "put"}, "method"),
    ("other method", lambda o: {**o, "method": "POST"}, "method"),
    ("no uri", lambda o: _without(o, "uri"), "uri-missing"),
    ("no destination", lambda o: _without(o, "destination"), "destination-missing"),
    ("no port", lambda o: {**o, "destination": "us.example"}, "destination"),
    ("delegated", lambda o: {**o, "destination": DELEGATED}, "destination"),
    ("another name", lambda o: {**o, "destination": "other.example"}, "destination"),
    ("empty", lambda o: {**o, "destination": ""}, "destination"),
    ("null", lambda o: {**o, "destination": None}, "destination"),
    ("URL", lambda o: {**o, "destination": f"https://{OURS}"}, "destination"),
    ("no origin", lambda o: _without(o, "origin"), "origin-missing"),
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
    ("no content", lambda o: _without(o, "content"), "content-missing"),
    ("empty content", lambda o: {**o, "content": {}}, "content-empty"),
    ("null content", lambda o: {**o, "content": None}, "content-empty"),
    (
        "string",
        lambda o: {**o, "content": canonical(o["content"]).decode()},
        "content-string",
    ),
    (
        "content's unsigned",
        lambda o: {**o, "content": _without(o["content"], "unsigned")},
        "content-members",
    ),
]


def _without(value: Object, *names: str) -> Object:
    return {k: v for k, v in value.items() if k not in names}


@pytest.mark.parametrize(("change", "code"), [each[1:] for each in MEMBERS])
def test_members(change: Callable[[Object], Object], code: str) -> None:
    """One member of the signed object is wrong."""
    assert codes(canonical(change(signed_object()))) == [code]


def test_members_within() -> None:
    """`unsigned` was left out of everything within the body."""
    content = {**_without(BODY, "unsigned"), "pdus": [PLAIN_PDU]}
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


FORMS: list[tuple[str, Callable[[Object], bytes], list[str]]] = [
    ("spaces", lambda o: dump(o, sort_keys=True), ["json-spaces"]),
    ("unsorted", lambda o: dump(o, separators=(",", ":")), ["json-unsorted"]),
    (
        "escapes",
        lambda o: dump(o, sort_keys=True, separators=(",", ":"), ensure_ascii=True),
        ["json-escapes"],
    ),
    (
        "Python's default",
        lambda o: dump(o, ensure_ascii=True),
        ["json-spaces", "json-unsorted", "json-escapes"],
    ),
    ("Go", lambda o: go(canonical(o)), ["json-escapes"]),
    ("Go unsorted", lambda o: go(compact(o)), ["json-unsorted", "json-escapes"]),
    ("slashes", lambda o: canonical(o).replace(b"/", b"\\/"), ["json-escapes"]),
    (
        "PHP",
        lambda o: dump(o, separators=(",", ":"), ensure_ascii=True).replace(
            b"/", b"\\/"
        ),
        ["json-unsorted", "json-escapes"],
    ),
    ("line feed", lambda o: canonical(o) + b"\n", ["json-newline"]),
    ("SHA-256", lambda o: hashlib.sha256(canonical(o)).digest(), ["digest-signed"]),
    ("SHA-512", lambda o: hashlib.sha512(canonical(o)).digest(), ["digest-signed"]),
]


def dump(value: object, **more: Any) -> bytes:
    """JSON as Python's library writes it."""
    return json.dumps(value, **{"ensure_ascii": False, **more}).encode()


def compact(value: object) -> bytes:
    """JSON without spaces, in the order of its members."""
    return dump(value, separators=(",", ":"))


def go(text: bytes) -> bytes:
    """A JSON text with the escapes of Go's library."""
    for char in "<>&":
        text = text.replace(char.encode(), f"\\u{ord(char):04x}".encode())
    return text


@pytest.mark.parametrize(("write", "expected"), [each[1:] for each in FORMS])
def test_forms(write: Callable[[Object], bytes], expected: list[str]) -> None:
    """The JSON was not canonical when it was signed."""
    found = diagnose(write(signed_object()), sent=compact(BODY))
    assert [hint.code for hint in found] == expected
    for hint in found:
        assert len(hint.received or "") <= MAX_TEXT
        assert len(hint.expected or "") <= MAX_TEXT


def test_form_of_another_order() -> None:
    """Members that are not sorted may be in another order, also without a body."""
    order = ("origin", "destination", "method", "uri")
    members = signed_object(None)
    message = compact({name: members[name] for name in order})
    assert codes(message, sent=None) == ["json-unsorted"]


PAIRS: list[tuple[Callable[[Object], bytes], list[str]]] = [
    (
        lambda o: canonical({**_without(o, "content"), "uri": "/send/t%211"}),
        ["signature-unknown"],
    ),
    (
        lambda o: canonical({**_without(o, "content"), "destination": DELEGATED}),
        ["content-missing", "destination"],
    ),
    (
        lambda o: compact(_without(o, "destination")),
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


SERVED = CandidateKey(verify_key(OTHER_SEED), "served")
KEYS = [
    ([CandidateKey(verify_key(OTHER_SEED, "ed25519:b"))], "key-id"),
    ([SERVED], "key-replaced"),
    ([CandidateKey(verify_key(OTHER_SEED), "expired", 17)], "key-expired"),
    ([CandidateKey(verify_key(OTHER_SEED), "old", 17)], "key-old"),
    ([CandidateKey(VerifyKey(KEY_ID, bytes(OTHER_SEED)))], "key-is-seed"),
]


@pytest.mark.parametrize(("more", "code"), KEYS)
def test_keys(more: list[CandidateKey], code: str) -> None:
    """The signature is right, but by another key than the known one."""
    message = canonical(signed_object())
    assert codes(message, keys=[CURRENT, *more], by=OTHER_SEED) == [code]
    assert codes(message, keys=more, by=OTHER_SEED) == [code]


def test_key_replaced() -> None:
    """Both keys are told where both are known."""
    message = canonical(signed_object())
    [hint] = diagnose(message, keys=[CURRENT, SERVED], by=OTHER_SEED)
    assert hint.received == encode_base64(bytes(OTHER_SEED.verify_key))
    assert hint.expected == encode_base64(bytes(SEED.verify_key))


def test_key_and_mistake() -> None:
    """A mistake is found by the other keys, too."""
    message = canonical(_without(signed_object(), "content"))
    other = CandidateKey(verify_key(OTHER_SEED, "ed25519:b"))
    found = codes(message, keys=[CURRENT, other], by=OTHER_SEED)
    assert found == ["content-missing", "key-id"]


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
    assert codes(canonical(_without(signed_object(), "content"))) == ["content-missing"]


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
    right = SEED.sign(canonical(_without(signed_object(), "content"))).signature
    authorizations = [
        Authorization(name, None, KEY_ID, each) for each in (wrong, right)
    ]
    request = ReceivedRequest("PUT", SEND, canonical(BODY), ServerName.parse(OURS))
    found = run(diagnose_request(request, authorizations, [CURRENT]))
    assert [hint.code for hint in found] == ["content-missing"]
    found = run(diagnose_request(request, authorizations[:1] * 3, [CURRENT]))
    assert [hint.code for hint in found] == ["signature-unknown"]
    assert requests.MAX_SIGNATURES == 2

"""Requests with mistakes: what is signed, what is sent, and what is right."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from homeserver.lab.spoil.draft import Draft
from homeserver.lab.spoil.right import (
    Right,
    is_met,
    malformed,
    same_as_before,
    tolerated,
    unsigned,
)
from homeserver.lab.spoil.spoils import SPOILS, spoil
from homeserver.protocol.errors import InvalidParam, Unauthorized
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from tests.support.drafts import CONTENT, OLD, PATH, RIGHT, THEM, draft_of, key
from tests.support.signed_requests import US


def spoiled(*texts: str, **members: Any) -> Draft:
    """A draft with mistakes, as it is sent."""
    draft = draft_of(OLD, **members)
    spoil(draft, texts)
    return draft


def verifies(draft: Draft) -> bool:
    """Whether a server that follows the rules finds the signature right."""
    [header] = draft.authorizations()
    claimed = Authorization.parse(header)
    if claimed.origin != US or claimed.destination not in {THEM, None}:
        return False
    content = None if draft.body is None else json.loads(draft.body)
    request = FederationRequest(draft.method, draft.target, US, THEM, content)
    try:
        request.verify([claimed], {RIGHT: key(RIGHT).verify_key})
    except Unauthorized:
        return False
    return True


def test_without_mistakes_a_request_verifies() -> None:
    """What is signed is what is sent, with and without a body."""
    assert verifies(spoiled())
    assert verifies(spoiled(method="GET", content={}))
    assert json.loads(spoiled().body or b"") == CONTENT


NOT_VERIFIED = [
    "signature",
    "destination",
    "origin",
    "key-id",
    "path",
    "method",
    "content",
    "expired-key",
    "old-key",
    "other-key-same-id",
]


@pytest.mark.parametrize("name", NOT_VERIFIED)
def test_a_spoiled_signature_does_not_verify(name: str) -> None:
    """Only the signature and its header are wrong; the rest is sent as it was."""
    right, wrong = spoiled(), spoiled(name)
    assert not verifies(wrong)
    assert (wrong.method, wrong.target, wrong.body) == (
        right.method,
        right.target,
        right.body,
    )
    assert wrong.authorizations() != right.authorizations()


def named(draft: Draft, parameter: str) -> str | None:
    """A parameter of the header."""
    return draft.parameters[0].get(parameter)


NAMED: list[tuple[str, str, str | None]] = [
    ("destination", "destination", "spoiled.invalid"),
    ("origin", "origin", "spoiled.invalid"),
    ("key-id", "key", "ed25519:spoiled"),
    ("expired-key", "key", OLD),
    ("old-key", "key", "ed25519:spoiled"),
    ("other-key-same-id", "key", RIGHT),
    ("no-destination", "destination", None),
]


@pytest.mark.parametrize(("name", "parameter", "value"), NAMED)
def test_what_the_header_names(name: str, parameter: str, value: str | None) -> None:
    """The header goes with what is signed, but for the parameter that is wrong."""
    assert named(spoiled(name), parameter) == value


@pytest.mark.parametrize(("name", "key_id"), [("expired-key", OLD), ("old-key", None)])
def test_a_foreign_key_has_signed(name: str, key_id: KeyId | None) -> None:
    """The signature is that of the key that the header names."""
    draft = spoiled(name)
    claimed = Authorization.parse(draft.authorizations()[0])
    signer = key(key_id or KeyId("ed25519:spoiled")).verify_key
    request = FederationRequest("PUT", PATH, US, THEM, CONTENT)
    assert request.verify([claimed], {signer.key_id: signer}) == claimed.key_id


SENT: list[tuple[str, bytes]] = [
    ("float", b'"spoiled.float":1.5'),
    ("big-integer", b'"spoiled.big-integer":1152921504606846976'),
    ("duplicate-member", b'"spoiled.duplicate-member":1,"spoiled.duplicate-member":2'),
]


@pytest.mark.parametrize(("name", "text"), SENT)
def test_content_that_is_not_canonical(name: str, text: bytes) -> None:
    """The member is sent as it is, and signed as a lax server would read it."""
    draft = spoiled(name)
    assert text in (draft.body or b"")
    assert verifies(draft)


def test_content_that_is_not_json() -> None:
    """A byte that no UTF-8 has is in the body, and lists within lists."""
    assert b'"spoiled.invalid-utf8":"\xff"' in (spoiled("invalid-utf8").body or b"")
    assert b"[" * 10_000 + b"]" * 10_000 in (spoiled("depth").body or b"")
    raw = base64.b64encode(b"\0raw").decode()
    assert spoiled(f"raw:{raw}").body == b"\0raw"


LISTS: list[tuple[str, str, int, object]] = [
    ("pdus:51", "pdus", 51, {"type": "m.x"}),
    ("edus:101", "edus", 101, {"edu_type": "spoiled", "content": {}}),
    ("edus:1000", "edus", 1000, {"edu_type": "spoiled", "content": {}}),
]


@pytest.mark.parametrize(("text", "member", "count", "item"), LISTS)
def test_a_transaction_with_too_much(
    text: str, member: str, count: int, item: object
) -> None:
    """The list has copies of its first item; the signature is right."""
    draft = spoiled(text)
    assert json.loads(draft.body or b"")[member] == [item] * count
    assert verifies(draft)


def test_headers_of_their_own() -> None:
    """`header` replaces the signature, `no-auth` leaves none, `host` the host."""
    assert spoiled("header:Basic x:y").authorizations() == ["Basic x:y"]
    assert spoiled("no-auth").authorizations() == []
    assert spoiled("host:other.test").host == "other.test"
    assert spoiled(headers={"Host": "third.test"}).host == "third.test"
    assert verifies(spoiled("host:other.test"))


def test_mistakes_come_together() -> None:
    """Each of several is made."""
    draft = spoiled("method", "float", "no-destination", "replay")
    assert b"1.5" in (draft.body or b"")
    assert named(draft, "destination") is None
    assert draft.is_repeated
    assert not verifies(draft)


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "signatur", "none of .* did you mean 'signature'"),
    ({}, "signature:x", "'signature' has no argument"),
    ({}, "host", "'host' needs a text, as in host:TEXT"),
    ({}, "raw:", "'raw' needs a base64, as in raw:BASE64"),
    ({}, "raw:%", "`raw` is not base64"),
    ({}, "header:\n", "printable ASCII"),
    ({}, "host:a b", "one word of ASCII"),
    ({}, "pdus:50", "`pdus` is 51 to 1000"),
    ({}, "edus:1001", "`edus` is 101 to 1000"),
    ({}, "edus:x", "`edus` has a number, as in edus:101"),
    ({"content": []}, "float", "'float' needs a `content` that is an object"),
    ({"content": 1}, "pdus:51", "'pdus' needs a `content` that is an object"),
    ({"sign": None}, "method", "'method' needs a signature"),
    ({"sign": None}, "no-auth", "'no-auth' needs a signature"),
    ({"sign": None}, "old-key", "'old-key' needs a signature"),
    ({"sign": None}, "signature", "'signature' needs a signature"),
    ({"path": "/_matrix/key/v2/server"}, "key-id", "'key-id' needs a signature"),
]


@pytest.mark.parametrize(("members", "text", "why"), BAD)
def test_a_mistake_that_cannot_be_made(
    members: dict[str, Any], text: str, why: str
) -> None:
    """The error names the mistake, and what it needs."""
    with pytest.raises(InvalidParam, match=why):
        spoiled(text, **members)


def test_an_expired_key_has_to_exist() -> None:
    """A server that never had another key says how it comes to one."""
    with pytest.raises(InvalidParam, match="rotate"):
        spoil(draft_of(), ["expired-key"])


JUDGED: list[tuple[list[Right], int, bool | None]] = [
    ([unsigned("x")], 401, True),
    ([unsigned("x")], 200, False),
    ([unsigned("x")], 500, False),
    ([malformed("x", 400)], 400, True),
    ([unsigned("x"), malformed("x", 400)], 400, True),
    ([unsigned("x"), tolerated("x")], 401, True),
    ([unsigned("x"), tolerated("x")], 200, False),
    ([tolerated("x")], 404, True),
    ([tolerated("x")], 500, False),
    ([tolerated("x"), same_as_before(200)], 200, True),
    ([tolerated("x"), same_as_before(200)], 400, False),
    ([tolerated("x"), same_as_before(None)], 200, False),
    ([SPOILS["no-destination"].right], 200, True),
    ([SPOILS["no-destination"].right], 401, False),
    ([SPOILS["raw"].right, unsigned("x")], 401, None),
]


@pytest.mark.parametrize(("rights", "status", "is_right"), JUDGED)
def test_what_is_right(rights: list[Right], status: int, is_right: object) -> None:
    """A mistake that must be refused decides over those that may pass."""
    assert is_met(rights, status) is is_right


@pytest.mark.parametrize("name", SPOILS)
def test_each_mistake_says_what_is_right(name: str) -> None:
    """A sentence says what it is, and another what a right server does."""
    each = SPOILS[name]
    assert each.summary.endswith(".")
    assert each.right.text.endswith(".")


def test_the_page_has_each_mistake() -> None:
    """The table in docs/testing.md is that of the registry."""
    page = Path("docs/testing.md").read_text()
    for name, each in SPOILS.items():
        assert f"| `{each.usage(name)}` | {each.summary} | {each.right.text} |" in page

"""What is explained of a request, an event or a key document in a file."""

import json
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json, as_object, encode
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.diagnosis.explanation import Findings, Given, explain
from homeserver.protocol.diagnosis.hint import CODES
from homeserver.protocol.diagnosis.material import MAX_BYTES, read_keys, read_material
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import OldVerifyKey, build_v1, build_v2
from tests.support.pdus import create, message
from tests.support.signed_requests import THEM, signing_key

NOW = 1_800_000_000_000
SEND = "/_matrix/federation/v1/send/1"
DOCUMENT = build_v2(
    THEM.server_name,
    [THEM.key],
    [OldVerifyKey(signing_key("o", b"9").verify_key, 5)],
    NOW + 1,
)
KEYS = {THEM.server_name: [CandidateKey(THEM.key.verify_key)]}


def explained(data: bytes, **more: Any) -> Findings:
    """The explanation of a file, with the keys of the other server."""
    found = explain(read_material(data), Given(NOW, **{"keys": KEYS, **more}))
    assert {hint.code for hint in found.hints} <= CODES.keys()
    return found


def raw(*headers: str, body: bytes = b"{}", method: str = "PUT") -> bytes:
    """A request as it is on the wire."""
    lines = [f"{method} {SEND} HTTP/1.1", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


RIGHT = f"Authorization: {THEM.authorize('PUT', SEND, {})}"


def test_right_request() -> None:
    """A request that verifies, with either end of a line."""
    for data in (raw(RIGHT), raw("host:x", RIGHT).replace(b"\r", b"")):
        found = explained(data)
        assert found.verifies
        assert (found.kind, found.hints, found.unchecked) == ("request", [], ())


def codes(found: Findings) -> list[str]:
    """The codes of the hints."""
    return [hint.code for hint in found.hints]


OTHER = ServerName.parse("other.example")
NO_DESTINATION = RIGHT.replace('destination="us.example",', "")


def test_wrong_requests() -> None:
    """What is wrong with a request is told; the destination is known or given."""
    assert codes(explained(raw(RIGHT, body=b'{"a":1}'))) == ["content-empty"]
    assert codes(explained(raw())) == ["header-missing"]
    assert codes(explained(raw("no header", "Authorization: Bearer x"))) == [
        "header-scheme"
    ]
    twice = f'{RIGHT},origin="b"'
    [hint] = explained(raw(twice)).hints
    assert (hint.code, hint.text) == (
        "header-missing",
        "the X-Matrix header has 'origin' twice",
    )
    found = explained(raw(RIGHT), destination=OTHER)
    assert codes(found) == ["name-other", "destination"]
    assert explained(raw("Host: us.example", NO_DESTINATION)).verifies
    found = explained(raw("Host: other.example", NO_DESTINATION))
    assert codes(found) == ["signature-unknown"]


@pytest.mark.parametrize("host", ["x: y", "Host: ?"])
def test_unknown_destination(host: str) -> None:
    """Without a destination nothing is checked."""
    [said] = explained(raw(host, NO_DESTINATION)).unchecked
    assert said.endswith("Give --destination")


def test_missing_keys() -> None:
    """Without keys, only what needs none is told."""
    found = explained(raw(RIGHT), keys={}, destination=OTHER)
    assert codes(found) == ["name-other"]
    assert found.unchecked == ["the signature: --keys has no keys of them.example"]
    event = explained(encode(message("11")), keys={})
    assert codes(event) == []
    assert event.unchecked == [
        "the signature of them.example: --keys has no keys of it"
    ]
    assert not event.verifies


def test_events() -> None:
    """An event is looked at as of the version that is given, or that fits best."""
    found = explained(encode(message("9")))
    assert found.verifies
    assert found.event_id is not None
    assert found.event_id.startswith("$")
    for version, pdu in (("12", create()), ("2", message("2"))):
        found = explained(encode(pdu))
        assert (found.verifies, found.room_version) == (True, version)
    wrong = explained(encode(message("9")), room_version=ROOM_VERSIONS["1"])
    assert codes(wrong) == ["event-format", "event-version"]
    assert (wrong.room_version, wrong.event_id) == ("1", None)
    named: Json = {"type": "m.room.create", "content": {"room_version": "?"}}
    assert codes(explained(encode(named))) == ["event-format"]
    other = explained(encode(message("11")), event_id="$x")
    assert codes(other) == ["id-unknown"]


def test_documents() -> None:
    """A key document is of the server that it names, or that is given."""
    document = encode(DOCUMENT)
    assert explained(document).verifies
    assert codes(explained(document, origin=OTHER)) == [
        "document-name",
        "document-unsigned",
    ]
    assert codes(explained(encode({"verify_keys": {}}))) == ["document-member"]
    first = encode(build_v1(THEM.server_name, b"DER", [THEM.key]))
    assert explained(first).verifies


UNREADABLE: list[tuple[bytes, type[ProtocolError]]] = [
    (b"", NotJson),
    (b"hello", NotJson),
    (b"[]", BadJson),
    (b"{}", BadJson),
    (b"PUT / HTTP/1.1\r\nHost: a\r\n", BadJson),
    (b" " * (MAX_BYTES + 1), BadJson),
]


@pytest.mark.parametrize(("data", "problem"), UNREADABLE)
def test_unreadable(data: bytes, problem: type[ProtocolError]) -> None:
    """What is none of the three is not explained."""
    with pytest.raises(problem):
        read_material(data)


def test_keys() -> None:
    """Keys are those of one key document or of several, of either version."""
    second = build_v1(OTHER, b"DER", [signing_key("x")])
    odd = {**second, "verify_keys": {**V1_KEYS, "curve:x": "AAAA"}}
    data = json.dumps([DOCUMENT, odd]).encode()
    found = read_keys(data)
    old = CandidateKey(signing_key("o", b"9").verify_key, "old", 5)
    assert found[THEM.server_name] == [CandidateKey(THEM.key.verify_key), old]
    [other] = found[OTHER]
    assert other.verify_key.key_id == KeyId("ed25519:x")
    assert read_keys(encode(DOCUMENT)).keys() == {THEM.server_name}
    timeless = {"server_name": "a", "old_verify_keys": V1_KEYS}
    [[key]] = read_keys(encode(timeless)).values()
    assert (key.standing, key.until_ts) == ("old", None)


V1_KEYS = as_object(build_v1(OTHER, b"", [signing_key("x")])["verify_keys"], "keys")

BAD_KEYS: list[Json] = [
    {},
    {"server_name": "?"},
    {"server_name": "a", "verify_keys": []},
    {"server_name": "a", "verify_keys": {"ed25519:x": {}}},
    {"server_name": "a", "verify_keys": {"ed25519:x": "AAAA"}},
]


@pytest.mark.parametrize("document", BAD_KEYS)
def test_bad_keys(document: Json) -> None:
    """Keys that cannot be read are a mistake of the file."""
    with pytest.raises(ProtocolError):
        read_keys(encode(document))

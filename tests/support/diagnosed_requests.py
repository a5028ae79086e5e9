"""Requests whose origin signed something else, and the hints on them."""

from typing import Any

import nacl.signing

from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.diagnosis.hint import CODES, Hint
from homeserver.protocol.diagnosis.request_parts import ReceivedRequest
from homeserver.protocol.diagnosis.requests import diagnose_request
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.protocol.slices import run
from homeserver.protocol.xmatrix import Authorization
from tests.support.plain_json import Object, canonical

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

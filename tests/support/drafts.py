"""Drafts of requests to a server, as a lab makes them before it spoils them."""

from typing import Any

from homeserver.lab.seed import Seed
from homeserver.lab.spoil.draft import Draft
from homeserver.lab.spoil.request_body import RequestBody
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import OldVerifyKey
from homeserver.protocol.signing import SigningKey
from tests.support.signed_requests import identity

RIGHT, OLD = KeyId("ed25519:a"), KeyId("ed25519:old")
THEM = ServerName.parse("them.test")
PATH = "/_matrix/federation/v1/send/1"
CONTENT: dict[str, object] = {"pdus": [{"type": "m.x"}], "edus": []}


def key(key_id: KeyId) -> SigningKey:
    """The key of the server with that ID."""
    return Seed("tests").signing_key(key_id)


def draft_of(*old: KeyId, **members: Any) -> Draft:
    """A transaction, or what the members of the body say."""
    told: dict[str, Any] = {"method": "PUT", "path": PATH, "content": CONTENT}
    body = RequestBody(THEM.name, **(told | members))
    old_keys = [OldVerifyKey(key(each).verify_key, 1) for each in old]
    return body.draft(identity([key(RIGHT)], old_keys), key)

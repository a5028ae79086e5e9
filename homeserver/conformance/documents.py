"""Key documents that the target serves, of itself and as a notary.

Rules: everything in them may be of any shape; what is malformed verifies nothing.

Specification: Server-server API, "Publishing Keys" and "Querying Keys Through Another
Server".
"""

from collections.abc import Mapping, Sequence
from typing import cast

from homeserver.conformance.outcome import NotTestable
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json, decode_base64
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import VerifyKey, signed_bytes

PATH = "/_matrix/key/v2/server"


async def own_document(t: Target) -> Json:
    """The target's own document; raises `NotTestable` where it serves none."""
    reply = await t.plain("GET", PATH)
    if not reply.json:
        raise NotTestable(f"there is no key document: {reply}")
    return reply.json


def listed_keys(document: Json) -> Mapping[str, object]:
    """The ed25519 keys that a document lists, by ID."""
    listed = as_json(document.get("verify_keys"))
    return {k: v for k, v in listed.items() if k.startswith("ed25519:")}


def key_of(document: Json, key_id: str) -> VerifyKey | None:
    """A key that a document lists; None where it lists none, or a malformed one."""
    text = as_json(listed_keys(document).get(key_id)).get("key")
    try:
        return VerifyKey.parse(KeyId(key_id), str(text))
    except ProtocolError:
        return None


def usable_keys(document: Json) -> Mapping[KeyId, VerifyKey]:
    """The keys in a document of the target, by which what it signs can be verified.

    Raises `NotTestable` where there are none; the checks of its keys say why.
    """
    found = (key_of(document, each) for each in listed_keys(document))
    keys = {key.key_id: key for key in found if key is not None}
    if not keys:
        raise NotTestable("the target publishes no key of ed25519 that can be used")
    return keys


def is_signed(document: Json, server: str, key: VerifyKey | None) -> bool:
    """Whether a document has a right signature of a server by a key."""
    own = as_json(as_json(document.get("signatures")).get(server))
    if key is None:
        return False
    try:
        signature = decode_base64(str(own.get(key.key_id)))
        return key.verify(signed_bytes(document), signature)
    except (ProtocolError, ValueError, TypeError):
        return False


def as_json(value: object) -> Json:
    """A JSON object; an empty one in place of anything else."""
    return cast("Json", value) if isinstance(value, dict) else {}


def listed_documents(content: Json) -> Sequence[Json]:
    """The documents of a notary's answer."""
    found = content.get("server_keys")
    return [as_json(each) for each in found] if isinstance(found, list) else []

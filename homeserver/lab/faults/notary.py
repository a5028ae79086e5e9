"""Faults of a notary: of other servers' key documents.

Rules: those of `fault`. What is not a list of documents stays as it is.

Specification: Server-server API, "Querying Keys Through Another Server".
"""

from collections.abc import Callable, Mapping
from typing import cast

from homeserver.http.reply import Reply, error_reply
from homeserver.lab.faults.fault import Act, Case, Continue, Fault, flag, with_body
from homeserver.protocol.canonical_json import (
    Json,
    encode,
    encode_base64,
    parse_object,
)
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import sign

_ROUTES = ("/_matrix/key/v2/query",)

_REFUSED = "It refuses what the notary says, and asks the server itself or another one."

_Change = Callable[[Json, Case], Json]


def _changed(change: _Change) -> Act:
    async def act(_: object, go_on: Continue, case: Case) -> Reply:
        reply = await go_on()
        if reply.status != 200:
            return reply
        documents = cast("list[Json]", parse_object(reply.body)["server_keys"])
        changed = [change(document, case) for document in documents]
        return with_body(reply, encode({"server_keys": changed}))

    return act


def _without_own(document: Json, case: Case) -> Json:
    signatures = dict(cast("Json", document["signatures"]))
    signatures.pop(case.server, None)
    return {**document, "signatures": signatures}


def _forged(document: Json, case: Case) -> Json:
    """Other keys under the same IDs; the notary signs, and the server did not."""
    other = case.keys.spare(case.server, KeyId("ed25519:spoiled")).verify_key
    keys = {
        key_id: {"key": encode_base64(other.key)}
        for key_id in cast("Json", document["verify_keys"])
    }
    bare = _without_own({**document, "verify_keys": keys}, case)
    return sign(bare, ServerName.parse(case.server), case.keys.signing(case.server))


async def _empty(_: object, go_on: Continue, __: Case) -> Reply:
    reply = await go_on()
    return with_body(reply, b'{"server_keys":[]}') if reply.status == 200 else reply


async def _error(_: object, __: Continue, ___: Case) -> Reply:
    return error_reply(500, "M_UNKNOWN", "a rule of the lab says so")


NOTARY_FAULTS: Mapping[str, Fault[Act]] = {
    f"notary.{name}": Fault(
        summary, _REFUSED, flag(f"notary.{name}"), act, "true", _ROUTES
    )
    for name, (summary, act) in {
        "empty": ("The list of documents is empty.", _empty),
        "without-own-signature": (
            "The documents lack the notary's signature.",
            _changed(_without_own),
        ),
        "forged": (
            "The documents have other keys, which their server did not sign.",
            _changed(_forged),
        ),
        "error": ("The answer is 500, and no work is done.", _error),
    }.items()
}
"""In the order in which they act."""

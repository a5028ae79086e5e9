"""Faults of key documents, of version 1 and 2, that a server publishes of itself.

Rules: those of `fault`. A document whose content is wrong has a right signature, so a
server that refuses it has found the fault.

Specification: Server-server API, "Publishing Keys".
"""

from collections.abc import Callable, Mapping
from typing import cast

from homeserver.http.reply import Reply
from homeserver.lab.faults.fault import (
    Act,
    Case,
    Continue,
    Fault,
    Switch,
    switches,
    whole,
    with_body,
)
from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.canonical_json import (
    Json,
    encode,
    encode_base64,
    parse_object,
)
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey, sign

ROUTES = ("/_matrix/key/v1", "/_matrix/key/v2/server")

_OTHER_SERVER = "spoiled.invalid"  # RFC 2606: it never resolves
_OTHER_KEY = KeyId("ed25519:spoiled")
_LARGE = 10_000_000  # bytes; documents have about five hundred
_MAX_TS = 2**53 - 1  # as large as an integer of canonical JSON

_REFUSED = "It refuses the document, and with it what these keys would prove."

_Change = Callable[[Json, "Signer", object], Json]


class Signer:
    """The keys of the server that a document is of."""

    def __init__(self, case: Case) -> None:
        self.name = case.server
        self.keys = list(case.keys.signing(case.server))
        self.now_ts = wall_ts(case.clock)
        self._case = case

    def other(self, key_id: KeyId) -> SigningKey:
        """A key that the server does not publish, under an ID."""
        return SigningKey(key_id, self._case.keys.spare(self.name, _OTHER_KEY).key)

    def signed(self, document: Json, keys: list[SigningKey] | None = None) -> Json:
        """A document with new signatures."""
        bare = {**document, "signatures": {}}
        return sign(
            bare, ServerName.parse(self.name), self.keys if keys is None else keys
        )


def _entry(document: Json, key: SigningKey) -> object:
    """A key as documents of this version list it."""
    text = encode_base64(key.verify_key.key)
    return {"key": text} if "valid_until_ts" in document else text


def _of(document: Json, member: str) -> Json:
    found = document.get(member)
    return cast("Json", found) if isinstance(found, dict) else {}


def _own_signatures(document: Json, signer: Signer) -> dict[str, str]:
    return cast("dict[str, str]", _of(document, "signatures").get(signer.name, {}))


def _unsigned(document: Json, _: Signer, __: object) -> Json:
    return {**document, "signatures": {}}


def _bad_signature(document: Json, signer: Signer, _: object) -> Json:
    own = _own_signatures(document, signer)
    flipped = {
        key_id: ("B" if each.startswith("A") else "A") + each[1:]
        for key_id, each in own.items()
    }
    return {**document, "signatures": {signer.name: flipped}}


def _other_name(document: Json, signer: Signer, _: object) -> Json:
    return signer.signed({**document, "server_name": _OTHER_SERVER})


def _missing_key(document: Json, signer: Signer, _: object) -> Json:
    return signer.signed({**document, "verify_keys": {}})


def _unknown_algorithm(document: Json, signer: Signer, _: object) -> Json:
    keys = {
        key_id.replace("ed25519:", "ed448:"): each
        for key_id, each in _of(document, "verify_keys").items()
    }
    return signer.signed({**document, "verify_keys": keys})


def _padded(document: Json, signer: Signer, _: object) -> Json:
    keys: Json = {}
    for key_id, each in _of(document, "verify_keys").items():
        bare = each["key"] if isinstance(each, dict) else each
        keys[key_id] = {"key": f"{bare}="} if isinstance(each, dict) else f"{bare}="
    signed = signer.signed({**document, "verify_keys": keys})
    own = _own_signatures(signed, signer)
    padded = {key_id: each + "==" for key_id, each in own.items()}
    return {**signed, "signatures": {signer.name: padded}}


def _valid_until(document: Json, signer: Signer, value: object) -> Json:
    if "valid_until_ts" not in document:
        return document
    until_ts = signer.now_ts - 1000 if value is True else value
    return signer.signed({**document, "valid_until_ts": until_ts})


def _old_only(document: Json, signer: Signer, _: object) -> Json:
    if "valid_until_ts" not in document:
        return document
    old: Json = {
        key.key_id: {
            "key": encode_base64(key.verify_key.key),
            "expired_ts": signer.now_ts - 1000,
        }
        for key in signer.keys
    }
    old_keys = {**_of(document, "old_verify_keys"), **old}
    return signer.signed({**document, "verify_keys": {}, "old_verify_keys": old_keys})


def _other_keys(key_id: Callable[[SigningKey], KeyId]) -> _Change:
    def change(document: Json, signer: Signer, _: object) -> Json:
        keys = [signer.other(key_id(key)) for key in signer.keys[:1]]
        listed = {key.key_id: _entry(document, key) for key in keys}
        return signer.signed({**document, "verify_keys": listed}, keys)

    return change


def _changed(change: _Change) -> Act:
    async def act(value: object, go_on: Continue, case: Case) -> Reply:
        reply = await go_on()
        signer = Signer(case)
        if reply.status != 200 or not signer.keys:
            return reply
        document = change(parse_object(reply.body), signer, value)
        return with_body(reply, encode(document))

    return act


def _replaced(build: Callable[[bytes], bytes]) -> Act:
    async def act(_: object, go_on: Continue, __: Case) -> Reply:
        reply = await go_on()
        return with_body(reply, build(reply.body))

    return act


_PLAIN: Mapping[str, Switch] = {
    "not-json": (
        "The document lacks its last byte.",
        _replaced(lambda b: b[:-1]),
        _REFUSED,
    ),
    "too-large": (
        "The document has ten megabytes of white space before it.",
        _replaced(lambda body: b" " * _LARGE + body),
        "It stops reading, and takes the server as one without keys.",
    ),
    "no-self-signature": (
        "The document has no signature.",
        _changed(_unsigned),
        _REFUSED,
    ),
    "bad-signature": (
        "Its signatures are wrong.",
        _changed(_bad_signature),
        _REFUSED,
    ),
    "other-name": (
        "The document is of another server name.",
        _changed(_other_name),
        _REFUSED,
    ),
    "missing-key": ("The document has no key.", _changed(_missing_key), _REFUSED),
    "unknown-algorithm": (
        "Its keys are of an algorithm that nothing uses.",
        _changed(_unknown_algorithm),
        "It knows no key of the server, and goes on.",
    ),
    "padded": (
        "Its base64 has padding.",
        _changed(_padded),
        "It may take the document: padding is allowed to be ignored.",
    ),
    "expired": (
        "`valid_until_ts` of a version 2 document was a second ago.",
        _changed(_valid_until),
        "It takes no new signature of these keys, and asks again later.",
    ),
    "old-only": (
        "All keys of a version 2 document are old ones.",
        _changed(_old_only),
        "It takes no new signature of these keys.",
    ),
    "rotated": (
        "The document has another key under another ID, which signed it.",
        _changed(_other_keys(lambda _: _OTHER_KEY)),
        "It takes the new key, and refuses what the missing one signs now.",
    ),
    "same-id-other-key": (
        "The document has another key under the ID of the right one.",
        _changed(_other_keys(lambda key: key.key_id)),
        "It verifies with the key that it knows, or refuses both.",
    ),
}

KEY_FAULTS: Mapping[str, Fault[Act]] = {
    **switches("keys", _PLAIN, ROUTES),
    "keys.valid_until": Fault(
        "`valid_until_ts` of a version 2 document is this time.",
        "It takes the document for at most seven days from now.",
        whole("keys.valid_until", 0, _MAX_TS),
        _changed(_valid_until),
        "milliseconds since 1970",
        ROUTES,
    ),
}
"""In the order in which they act."""

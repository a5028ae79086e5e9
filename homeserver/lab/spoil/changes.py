"""The changes that make a request wrong.

Rules: a change raises `InvalidParam` for a request that it cannot be made in, and for
an argument that it does not take.
"""

import base64
import binascii
from collections.abc import Callable

from homeserver.lab.spoil.draft import Draft
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import SigningKey

OTHER_SERVER = "spoiled.invalid"  # RFC 2606: it never resolves
OTHER_KEY = KeyId("ed25519:spoiled")
NESTING = 10_000  # parsers that recurse fail at a thousand
_MAX_ITEMS = 1000  # of a list; a hundred is more than a transaction may have

Change = Callable[[Draft, str], None]


def nothing(_: Draft, __: str) -> None:
    """No change."""


def sign_other(name: str, member: str, value: Callable[[Json], object]) -> Change:
    """Change one member of the signed object alone."""

    def change(draft: Draft, _: str) -> None:
        signed = draft.must_be_signed(name)
        signed[member] = value(signed)

    return change


def other_method(signed: Json) -> str:
    """A method that the request does not have."""
    return "POST" if signed.get("method") != "POST" else "PUT"


def flip_signature(draft: Draft, _: str) -> None:
    """Write another first character into each signature."""
    draft.must_be_signed("signature")
    for each in draft.parameters:
        first = "B" if each["sig"].startswith("A") else "A"
        each["sig"] = first + each["sig"][1:]


def name_other_key(draft: Draft, _: str) -> None:
    """Name a key in the header that signed nothing."""
    draft.must_be_signed("key-id")
    for each in draft.parameters:
        each["key"] = OTHER_KEY


def drop_destination(draft: Draft, _: str) -> None:
    """Leave the destination out of the header."""
    draft.must_be_signed("no-destination")
    for each in draft.parameters:
        each.pop("destination", None)


def drop_signature(draft: Draft, _: str) -> None:
    """Leave the header out."""
    draft.must_be_signed("no-auth")
    draft.parameters = []


def replace_header(draft: Draft, text: str) -> None:
    """Write a text in place of the header."""
    if not text.isascii() or not text.isprintable():
        raise InvalidParam("`spoil`: the text of `header` is printable ASCII")
    draft.header = text


def sign_with(name: str, key: Callable[[Draft], SigningKey]) -> Change:
    """Sign with one other key."""

    def change(draft: Draft, _: str) -> None:
        draft.must_be_signed(name)
        draft.keys = [key(draft)]

    return change


def expired_key(draft: Draft) -> SigningKey:
    """The last old key of the key document; raises `InvalidParam` without one."""
    if not draft.identity.old_verify_keys:
        raise InvalidParam(
            "`spoil`: `expired-key` needs a server with an old key; PATCH it with "
            '{"rotate": true}'
        )
    return draft.spare_key(draft.identity.old_verify_keys[-1].verify_key.key_id)


def other_key(draft: Draft) -> SigningKey:
    """A key that signed nothing, under the ID of the right one."""
    return SigningKey(draft.keys[0].key_id, draft.spare_key(OTHER_KEY).key)


def set_host(draft: Draft, text: str) -> None:
    """Write a text in place of the `Host`."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidParam("`spoil`: the text of `host` is one word of ASCII")
    draft.host = text


def set_sni(draft: Draft, text: str) -> None:
    """Name another host in the TLS handshake."""
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > 255:
        raise InvalidParam("`spoil`: the text of `sni` is one word of ASCII")
    draft.sni = text


def repeat(draft: Draft, _: str) -> None:
    """Send twice."""
    draft.is_repeated = True


def replace_body(draft: Draft, text: str) -> None:
    """Send bytes in base64 as the body."""
    try:
        draft.body = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParam("`spoil`: the text of `raw` is not base64") from None


def add_literal(name: str, sent: bytes, signed: bytes | None = None) -> Change:
    """Add a member with a value that no JSON writer writes."""

    def change(draft: Draft, _: str) -> None:
        draft.add_literal(name, sent, sent if signed is None else signed)

    return change


def add_many(name: str, item: Json, limit: int) -> Change:
    """Send a list of so many items, `limit` at least."""

    def change(draft: Draft, text: str) -> None:
        if not text.isascii() or not text.isdigit():
            raise InvalidParam(f"`spoil`: `{name}` has a number, as in {name}:{limit}")
        count = int(text[:9])
        if not limit <= count <= _MAX_ITEMS:
            raise InvalidParam(f"`spoil`: `{name}` is {limit} to {_MAX_ITEMS}")
        content = draft.must_have_object(name)
        items = content.get(name)
        first = items[0] if isinstance(items, list) and items else item
        draft.replace_content({**content, name: [first] * count})

    return change

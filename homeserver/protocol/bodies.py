"""The body of a request; a flaw within one PDU or EDU affects that item alone.

Rules: a body is rejected as a whole if it is too expensive to read (too many values,
integers or nesting beyond what can be held), if it has no canonical form over which the
request can be signed (NaN, lone surrogates), or if its envelope is invalid. A flaw
within one PDU or EDU is reported for that item, as its sender need not be its author.

A body is read once, leniently, as its sender has read it. The signature of the request
is verified over that reading before the body is checked for flaws.

Its canonical JSON is made once. Where all numbers of a body are those of canonical
JSON, as they are in most, each PDU and EDU is kept with its own.

Specification: Server-server API, "Transactions" and "Request Authentication";
Appendices, "Canonical JSON".
"""

from itertools import chain

import msgspec
from msgspec import Struct

from homeserver.protocol.canonical_json import (
    MAX_NESTING,
    MAX_READ_NESTING,
    Canonical,
    Encoded,
    Json,
    as_list,
    as_object,
    check_read,
    check_size_of_json,
    count_members,
    encode_floats,
    encode_integers,
    read,
    split,
)
from homeserver.protocol.errors import BadJson
from homeserver.protocol.json_text import (
    Outside,
    count_brackets,
    has_large_number,
)

_LISTS = ("pdus", "edus")

# A step of Python for each; no transaction has more PDUs and EDUs.
_MAX_ITEMS = 150

_MEMBERS = msgspec.json.Decoder(dict[str, Encoded])


class FlawedItem(dict[str, object]):
    """An object that contains something that canonical JSON does not allow."""

    def __init__(self, value: Json, problem: str, text: str) -> None:
        super().__init__(value)
        self.problem = problem
        """Why it is not allowed."""

        self.text = text
        """The text of the object as received."""


class ReadBody(Struct, frozen=True):
    """A request body that was read, and is not yet checked for flaws."""

    text: bytes
    content: Json
    canonical: bytes
    """Canonical JSON of `content`: the request is signed over it."""

    outside: Outside | None
    """That of `text`; None if it is certain that the body has no flaw."""


def read_body(data: bytes) -> ReadBody:
    """Read a request body leniently; raises `TooLarge`, `NotJson` or `BadJson`."""
    check_size_of_json(data)
    value, has_float = read(data)
    content = as_object(value, "the body")
    plain = None if has_float else _read_plain(data, content)
    if plain is not None:
        return plain
    outside = Outside.of(data)
    outside.check_nesting(MAX_READ_NESTING)
    encode = encode_floats if has_float else encode_integers
    return ReadBody(data, content, encode(content), outside)


def _read_plain(data: bytes, content: Json) -> ReadBody | None:
    """A body without floats that is certain to have no flaw; None for any other.

    Most bodies are plain, and are read in half the time by this way.
    """
    if not _has_few_items(content):
        return None
    try:
        texts = _item_texts(content)
        canonical = encode_integers(
            content | {name: list(map(Encoded, items)) for name, items in texts.items()}
        )
    except RecursionError:
        return None
    # Canonical JSON is the shortest text of a value without floats: where it is as long
    # as the text that was read, no member was written twice.
    if len(canonical) != len(data) or has_large_number(canonical):
        return None
    envelope = encode_integers(content | dict.fromkeys(texts))
    opened = max(map(count_brackets, chain.from_iterable(texts.values())), default=0)
    if count_brackets(envelope) + opened >= MAX_NESTING:
        return None
    return ReadBody(data, _with_texts(content, texts), canonical, None)


def check_body(body: ReadBody) -> Json:
    """Check a body for flaws, and return its content.

    There is a `FlawedItem` in place of each object in `pdus` and `edus` that `parse`
    rejects, and otherwise a `Canonical` in place of each, where all numbers of the body
    are those of canonical JSON and it has no more items than a transaction. Raises
    `BadJson` for a flaw anywhere else.
    """
    if body.outside is None:
        return body.content
    try:
        check_read(body.text, body.outside, body.canonical)
    except BadJson:
        return _find_flaws(body.text, body.content)
    if body.outside.has_canonical_numbers and _has_few_items(body.content):
        return _with_texts(body.content, _item_texts(body.content))
    return body.content


def _has_few_items(content: Json) -> bool:
    lists = (content.get(name) for name in _LISTS)
    return sum(len(each) for each in lists if isinstance(each, list)) <= _MAX_ITEMS


def _item_texts(content: Json) -> dict[str, list[bytes]]:
    """The canonical JSON of each PDU and EDU in a body without floats."""
    lists = ((name, content.get(name)) for name in _LISTS)
    return {
        name: [encode_integers(item) for item in items]
        for name, items in lists
        if isinstance(items, list)  # `Transaction.parse` says what is no list
    }


def _with_texts(content: Json, texts: dict[str, list[bytes]]) -> Json:
    return content | {
        name: [
            Canonical.of(item, text) if isinstance(item, dict) else item
            for item, text in zip(as_list(content[name], name), items, strict=True)
        ]
        for name, items in texts.items()
    }


def _find_flaws(data: bytes, body: Json) -> Json:
    members = _MEMBERS.decode(data)
    written = {name: bytes(member) for name, member in members.items()}
    # A duplicate member of the envelope was overwritten, and its members with it.
    if count_members(data) != sum(1 + count_members(m) for m in written.values()):
        raise BadJson("a member occurs twice in the body")
    for name, member in written.items():
        value = body[name]
        if name in _LISTS and isinstance(value, list):
            items = zip(split(member), value, strict=True)
            body[name] = [_check_item(bytes(text), item) for text, item in items]
        else:
            _check(member, value)
    return body


def _check_item(data: bytes, value: object) -> object:
    try:
        _check(data, value)
    except BadJson as problem:
        if isinstance(value, dict):
            return FlawedItem(value, str(problem), data.decode("utf-8"))
    return value


def _check(data: bytes, value: object) -> None:
    check_read(data, Outside.of(data), msgspec.json.encode(value))

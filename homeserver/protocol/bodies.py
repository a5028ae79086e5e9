"""The body of a request; a flaw within one PDU or EDU affects that item alone.

Rules: a body is rejected as a whole if it is too expensive to read (too many values,
integers or nesting beyond what can be held), if it has no canonical form over which the
request can be signed (NaN, lone surrogates), or if its envelope is invalid. A flaw
within one PDU or EDU is reported for that item, as its sender need not be its author.

A body is read once, leniently, as its sender has read it. The signature of the request
is verified over that reading before the body is checked for flaws.

Its canonical JSON is made once. Where all numbers of a body are those of canonical
JSON, as they are in most, each PDU and EDU is kept with its slice of it.

Specification: Server-server API, "Transactions" and "Request Authentication";
Appendices, "Canonical JSON".
"""

import msgspec
from msgspec import Struct

from homeserver.protocol.canonical_json import (
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
from homeserver.protocol.json_text import Outside

_LISTS = ("pdus", "edus")

_MEMBERS = msgspec.json.Decoder(dict[str, Encoded])


class FlawedItem(dict[str, object]):
    """An object that contains something that canonical JSON does not allow."""

    def __init__(self, value: Json, problem: str, text: str) -> None:
        super().__init__(value)
        self.problem = problem
        """Why it is not allowed."""

        self.text = text
        """The text of the object as received."""


class _Lists(Struct):
    """The slices of the PDUs and EDUs in a body."""

    pdus: list[Encoded] = []
    edus: list[Encoded] = []


_LISTS_OF_A_BODY = msgspec.json.Decoder(_Lists)


class ReadBody(Struct, frozen=True):
    """A request body that was read, and is not yet checked for flaws."""

    text: bytes
    outside: Outside
    content: Json
    canonical: bytes
    """Canonical JSON of `content`: the request is signed over it."""


def read_body(data: bytes) -> ReadBody:
    """Read a request body leniently; raises `TooLarge`, `NotJson` or `BadJson`."""
    check_size_of_json(data)
    content = as_object(read(data), "the body")
    outside = Outside.of(data)
    encode = encode_floats if outside.has_float else encode_integers
    return ReadBody(data, outside, content, encode(content))


def check_body(body: ReadBody) -> Json:
    """Check a body for flaws, and return its content.

    There is a `FlawedItem` in place of each object in `pdus` and `edus` that `parse`
    rejects, and otherwise a `Canonical` in place of each, where all numbers of the body
    are those of canonical JSON. Raises `BadJson` for a flaw anywhere else.
    """
    try:
        check_read(body.text, body.outside, body.canonical)
    except BadJson:
        return _find_flaws(body.text, body.content)
    if body.outside.has_canonical_numbers:
        return _with_slices(body.content, body.canonical)
    return body.content


def _with_slices(content: Json, canonical: bytes) -> Json:
    try:
        lists = _LISTS_OF_A_BODY.decode(canonical)
    except msgspec.ValidationError:
        return content  # `Transaction.parse` says what is no list
    slices = {"pdus": lists.pdus, "edus": lists.edus}
    return content | {
        name: [
            Canonical(value, bytes(text)) if isinstance(value, dict) else value
            for text, value in zip(
                slices[name], as_list(content[name], name), strict=True
            )
        ]
        for name in _LISTS
        if name in content
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

"""The body of a request; a flaw within one PDU or EDU affects that item alone.

Rules: a body is rejected as a whole if it is too expensive to read (too many values,
integers or nesting beyond what can be held), if it has no canonical form over which the
request can be signed (NaN, lone surrogates), or if its envelope is invalid. A flaw
within one PDU or EDU is reported for that item, as its sender need not be its author.

A body is read once, leniently, as its sender has read it. The signature of the request
is verified over that reading before the body is checked for flaws.

Specification: Server-server API, "Transactions" and "Request Authentication";
Appendices, "Canonical JSON".
"""

import msgspec

from homeserver.protocol.canonical_json import (
    Encoded,
    Json,
    as_object,
    check_read,
    check_size_of_json,
    count_members,
    read,
    split,
)
from homeserver.protocol.errors import BadJson

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


def read_body(data: bytes) -> Json:
    """Read a request body leniently; raises `TooLarge`, `NotJson` or `BadJson`."""
    check_size_of_json(data)
    return as_object(read(data), "the body")


def check_body(data: bytes, body: Json) -> Json:
    """Check a body that `read_body` returned for flaws.

    Returns it with a `FlawedItem` in place of each object in `pdus` and `edus` that
    `parse` rejects. Raises `BadJson` for a flaw anywhere else.
    """
    try:
        check_read(data, body)
    except BadJson:
        return _find_flaws(data, body)
    return body


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
            check_read(member, value)
    return body


def _check_item(data: bytes, value: object) -> object:
    try:
        check_read(data, value)
    except BadJson as problem:
        if isinstance(value, dict):
            return FlawedItem(value, str(problem), data.decode("utf-8"))
    return value

"""The body of a request, in which a bad PDU or EDU costs that one alone.

Rules: what costs the reader is refused whole: too many values, integers and nesting
that it cannot hold. So is what has no canonical form over which the request could be
signed (NaN, lone surrogates), and what is wrong with the envelope. What is wrong
within one PDU or EDU is said of that one: who sends it on need not have made it.

A body is read once, as its sender has read it, and the signature of the request is
verified over that; only then is it looked at for flaws.

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
    """An object with something in it that canonical JSON does not have."""

    def __init__(self, value: Json, problem: str, text: str) -> None:
        super().__init__(value)
        self.problem = problem
        """What that is."""

        self.text = text
        """The object as it was written."""


def read_body(data: bytes) -> Json:
    """Read a request's body; `TooLarge`, `NotJson` or `BadJson` for what is none."""
    check_size_of_json(data)
    return as_object(read(data), "the body")


def check_body(data: bytes, body: Json) -> Json:
    """Look for flaws in a body that `read_body` has read.

    Returns it with a `FlawedItem` for each object in `pdus` and `edus` that `parse`
    would refuse. Raises `BadJson` where anything else of it is so.
    """
    try:
        check_read(data, body)
    except BadJson:
        return _find_flaws(data, body)
    return body


def _find_flaws(data: bytes, body: Json) -> Json:
    members = _MEMBERS.decode(data)
    written = {name: bytes(member) for name, member in members.items()}
    # Of two members of one name the first is not among them.
    if count_members(data) != sum(1 + count_members(m) for m in written.values()):
        raise BadJson("a member stands twice in the body")
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

"""JSON that means the same and has other bytes.

Rules: what a text means does not change, and a text that is no JSON stays as it is.
Each form leaves alone what the others do, so that they can be combined in any order.

Specification: RFC 8259, sections 2, 4 and 7.
"""

import json
import re

_STRING = r'"(?:[^"\\]|\\.)*"'
_STRINGS = re.compile(_STRING)
_SIGNS = re.compile(rf"{_STRING}|[{{}}\[\],:]")


def reorder(body: bytes) -> bytes:
    """With the members of each object in the other order."""
    try:
        value = json.loads(body)
        return json.dumps(_reversed(value), separators=(",", ":")).encode("ascii")
    except (ValueError, RecursionError):
        return body


def _reversed(value: object) -> object:
    if isinstance(value, dict):
        return {name: _reversed(value[name]) for name in reversed(value)}
    return [_reversed(each) for each in value] if isinstance(value, list) else value


def space_out(body: bytes) -> bytes:
    """With each kind of white space around each sign."""
    text = _text(body)
    if text is None:
        return body
    spaced = _SIGNS.sub(
        lambda found: found[0] if found[0].startswith('"') else f"\r\n\t {found[0]} ",
        text,
    )
    return f" {spaced}\n".encode()


def escape(body: bytes) -> bytes:
    r"""With each character of each string as `\u` and four digits."""
    text = _text(body)
    if text is None:
        return body
    return _STRINGS.sub(_escaped, text).encode("ascii")


def _escaped(found: "re.Match[str]") -> str:
    units = json.loads(found[0]).encode("utf-16-be", "surrogatepass")
    pairs = (units[n : n + 2].hex() for n in range(0, len(units), 2))
    return '"' + "".join(rf"\u{pair}" for pair in pairs) + '"'


def _text(body: bytes) -> str | None:
    """A body that is JSON, as text."""
    try:
        json.loads(body)
        return body.decode("utf-8")
    except (ValueError, RecursionError):
        return None

"""A body read in both ways: the one of plain bodies, and the one of all."""

from unittest.mock import patch

from homeserver.protocol import bodies
from homeserver.protocol.bodies import check_body, read_body
from homeserver.protocol.errors import ProtocolError

Outcome = tuple[bytes, list[tuple[type, object]]] | str
"""The canonical body and each item of it, or the error."""


def outcome(data: bytes) -> Outcome:
    """What comes of a body."""
    try:
        body = read_body(data)
        content = check_body(body)
    except ProtocolError as problem:
        return f"{type(problem)}: {problem}"
    lists = [content.get(name) for name in ("pdus", "edus")]
    items = [each for every in lists if isinstance(every, list) for each in every]
    return body.canonical, [
        (type(each), getattr(each, "encoded", None) or getattr(each, "problem", each))
        for each in items
    ]


def both_ways(data: bytes) -> None:
    """Whether a body is certain to have no flaw makes no difference."""
    plain = outcome(data)
    with patch.object(bodies, "_read_plain", lambda *_: None):
        assert outcome(data) == plain

"""JSON as the standard library writes it, in place of what is tested."""

import json
from typing import Any

Object = dict[str, Any]


def canonical(value: object) -> bytes:
    """Canonical JSON by the standard library."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def dump(value: object, **more: Any) -> bytes:
    """JSON as Python's library writes it."""
    return json.dumps(value, **{"ensure_ascii": False, **more}).encode()


def compact(value: object) -> bytes:
    """JSON without spaces, in the order of its members."""
    return dump(value, separators=(",", ":"))


def without(value: Object, *names: str) -> Object:
    """A copy without members."""
    return {k: v for k, v in value.items() if k not in names}

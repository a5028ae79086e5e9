"""The changes that implementations make to a body before they sign it.

Rules: a change is a function of the body as it was sent, and returns the body that may
have been signed instead.

Specification: Server-server API, "Request Authentication"; Appendices, "Canonical
JSON".
"""

from collections.abc import Callable, Sequence

from homeserver.protocol.canonical_json import Json

_MAX_DOUBLE = 2**53  # beyond it a double does not hold each integer


def _changed_everywhere(value: object, change: Callable[[object], object]) -> object:
    if isinstance(value, dict):
        changed: Json = {
            name: _changed_everywhere(each, change) for name, each in value.items()
        }
        return change(changed)
    if isinstance(value, list):
        return change([_changed_everywhere(each, change) for each in value])
    return change(value)


def _without(*names: str) -> Callable[[object], object]:
    def change(value: object) -> object:
        if isinstance(value, dict):
            return {k: v for k, v in value.items() if k not in names}
        return value

    return change


def _everywhere(change: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: _changed_everywhere(value, change)


def _whole_floats(value: object) -> object:
    """As JavaScript writes numbers: 1.0 as 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_DOUBLE:
        return int(value)
    return value


def _as_double(value: object) -> object:
    """As JavaScript reads integers: in the precision of a double."""
    if isinstance(value, int) and abs(value) > _MAX_DOUBLE:
        return int(float(value)) if abs(value) < 2**64 else value
    return value


_MEMBERS_TEXT = (
    "members of the body were left out of `content`; `signatures` and `unsigned` are "
    "left out of the signed object itself, not of what is within it"
)
_NUMBERS_TEXT = "numbers were changed before signing; sign the body as it is sent"

CHANGES: Sequence[tuple[Callable[[object], object], str, str]] = (
    (_without("signatures", "unsigned"), "content-members", _MEMBERS_TEXT),
    (_without("signatures"), "content-members", _MEMBERS_TEXT),
    (_without("unsigned"), "content-members", _MEMBERS_TEXT),
    (_everywhere(_without("unsigned")), "content-members", _MEMBERS_TEXT),
    (_everywhere(_without("signatures")), "content-members", _MEMBERS_TEXT),
    (_everywhere(_without("signatures", "unsigned")), "content-members", _MEMBERS_TEXT),
    (_everywhere(_whole_floats), "content-numbers", _NUMBERS_TEXT),
    (_everywhere(_as_double), "content-numbers", _NUMBERS_TEXT),
)
"""Each change, with the code and the text of its hint; the most common first."""

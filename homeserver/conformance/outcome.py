"""What came of a check, before its severity is looked at.

Rules: values. `expected` and `observed` are for a person, one line each, whatever the
target said.
"""

from collections.abc import Iterable

from msgspec import Struct

from homeserver.protocol.errors import printable

_MAX_SHOWN = 2000  # characters of one thing observed; a reply may have megabytes


class NotTestable(Exception):
    """What a check needs is not there; `str()` says what, and how to have it."""


class NoAnswer(Exception):
    """The target gave no answer to a request; `str()` says what came in its place."""

    is_connected = True
    """Whether there was a connection at all."""


class Late(NoAnswer):
    """The target gave no answer in time, and kept the connection."""


class NotConnected(NoAnswer):
    """The target took no connection."""

    is_connected = False


class Outcome(Struct, frozen=True):
    """What came of a check."""

    is_met: bool | None
    """Whether the rule is met; None where a choice is reported."""

    observed: str
    expected: str = ""
    """Empty where the rule says it all."""


def expect(
    is_met: bool,  # noqa: FBT001 - the one argument that each check has
    *observed: object,
    wanted: str = "",
) -> Outcome:
    """A rule that is met or not; `observed` is what shows it."""
    return Outcome(is_met, _shown(observed), wanted)


def unmet(*observed: object, wanted: str = "") -> Outcome:
    """A rule that is not met."""
    return Outcome(is_met=False, observed=_shown(observed), expected=wanted)


def reported(*observed: object) -> Outcome:
    """A choice that the text leaves open."""
    return Outcome(is_met=None, observed=_shown(observed))


def each_of(outcomes: Iterable[tuple[str, Outcome]]) -> Outcome:
    """Several outcomes as one, which shows those that are not met, with a label each.

    Where all are met, the last one is shown.
    """
    every = list(outcomes)
    wrong = [(label, each) for label, each in every if each.is_met is False]
    shown = wrong or every[-1:]
    return Outcome(
        not wrong,
        "; ".join(f"{label}: {each.observed}" for label, each in shown),
        "; ".join(f"{label}: {each.expected}" for label, each in shown if each.expected)
        if wrong
        else "",
    )


def _shown(observed: Iterable[object]) -> str:
    return "; ".join(_line(str(each)) for each in observed)


def _line(text: str) -> str:
    return printable(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")

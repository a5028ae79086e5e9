"""All checks: those that the modules of `checks/` have, alone or in a table.

Rules: nothing is registered by a side effect. Two checks never have one ID.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from homeserver.conformance import checks
from homeserver.conformance.check import Check


class UnknownCheck(ValueError):
    """Patterns that leave no check, or a prerequisite that there is not."""


def all_checks() -> Mapping[str, Check]:
    """All checks by ID: those of an area beside each other, by their numbers."""
    found: dict[str, Check] = {}
    for module in _modules():
        for check in checks_in(vars(module).values()):
            if found.setdefault(check.id, check) is not check:
                raise ValueError(f"two checks have the ID {check.id}")
    missing = {each for check in found.values() for each in check.after} - found.keys()
    if missing:
        raise UnknownCheck(f"no check has the ID {', '.join(sorted(missing))}")
    return {key: found[key] for key in sorted(found, key=_order)}


def checks_in(values: Iterable[object]) -> Iterator[Check]:
    """The checks among some values: alone, or in a sequence."""
    for value in values:
        if isinstance(value, Check):
            yield value
        elif isinstance(value, list | tuple):
            yield from (each for each in value if isinstance(each, Check))


def select(
    known: Mapping[str, Check], only: Sequence[str], skip: Sequence[str]
) -> list[Check]:
    """The checks that are wanted; raises `UnknownCheck`.

    A pattern is an ID, an area, a text with `*`, or a part of the name of a section.
    """
    chosen = [
        check
        for check in known.values()
        if not only or any(_matches(check, each) for each in only)
    ]
    for pattern in (*only, *skip):
        if not any(_matches(check, pattern) for check in known.values()):
            raise UnknownCheck(
                f"no check is meant by {pattern!r}; --list shows them all"
            )
    left = [c for c in chosen if not any(_matches(c, each) for each in skip)]
    if not left:
        whole = "all that --only chooses" if only else "all of them"
        raise UnknownCheck(f"no check is left: --skip leaves out {whole}")
    return left


def with_prerequisites(
    known: Mapping[str, Check], chosen: Iterable[Check]
) -> list[Check]:
    """Checks, and all that they come after, in an order in which they can run."""
    ordered: dict[str, Check] = {}

    def take(check: Check) -> None:
        if check.id not in ordered:
            for each in check.after:
                take(known[each])
            ordered[check.id] = check

    for check in chosen:
        take(check)
    return list(ordered.values())


def title_of(area: str) -> str:
    """What an area is about."""
    return _TITLES.get(area, area)


_TITLES: Mapping[str, str] = {
    "K": "Its own key document",
    "V": "Its version",
    "N": "The target as a notary",
    "M": "Our key document, as the target judges it",
    "W": "The target as a client of our notary",
    "D": "Discovery of our names",
    "T": "TLS",
    "A": "X-Matrix",
    "H": "HTTP and errors",
    "X": "Transactions",
    "E": "EDUs",
    "Q": "Queries",
    "J": "Joins",
    "G": "Routes of a room",
    "L": "Leaving",
    "Y": "Knocking",
    "I": "Invites",
    "P": "PDUs of a room",
    "O": "What the target sends",
}


def _modules() -> Iterator[ModuleType]:
    for each in iter_modules(checks.__path__):
        yield import_module(f"{checks.__name__}.{each.name}")


def _matches(check: Check, pattern: str) -> bool:
    if pattern in {check.id, check.area}:
        return True
    if any(each in pattern for each in "*?["):
        return fnmatchcase(check.id, pattern)
    # A letter or an ID is no part of a section.
    return len(pattern) > 4 and pattern.lower() in check.section.lower()


def _order(check_id: str) -> tuple[int, str, int, str]:
    parts = re.fullmatch(r"([A-Z]+)(\d+)(.*)", check_id)
    if parts is None:
        raise ValueError(f"{check_id!r} is no ID of a check")
    areas = list(_TITLES)
    rank = areas.index(parts[1]) if parts[1] in areas else len(areas)
    return rank, parts[1], int(parts[2]), parts[3]

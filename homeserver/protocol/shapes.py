"""JSON values as structs, with every mistake in plain words.

Rules: a member that a struct does not have is a mistake, in nested objects too. The
message names the place, as in `keys.ids[0]`, and what is allowed there; it has none of
the words of the library that reads.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TypeVar

import msgspec
from msgspec import Struct, inspect

from homeserver.protocol.errors import BadJson, listed, quote

_T = TypeVar("_T", bound=Struct)

_Mistake = tuple[str, str]

_KINDS = {
    "array": "a list",
    "object": "an object",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}

# The library's messages: https://jcristharif.com/msgspec, "Usage".
_PLACE = re.compile(r"(?P<why>.*?)(?: - at (?P<place>`.*))?", re.DOTALL)
_KIND = re.compile(r"Expected `(?P<expected>[^`]*)`(?:, got `(?P<got>[^`]*)`)?")
_BOUND = re.compile(r"Expected `(int|float)` (?P<sign>[<>]=?) (?P<limit>\S+)")
_LENGTH = re.compile(
    r"Expected `(?P<kind>\w+)` of (?P<length>length (?P<sign>[<>]=) (?P<limit>\d+))"
)
_PATTERN = re.compile(r"Expected `str` matching regex .*", re.DOTALL)
_MISSING = re.compile(r"Object missing required field (?P<name>`[^`]*`)")

_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def read(kind: type[_T], value: object, what: str = "the body") -> _T:
    """`value`, which `parse` returned, as a struct.

    Raises `BadJson`, whose message calls the outermost object `what`.
    """
    for place, why in _mistakes(inspect.type_info(kind), value, ""):
        raise BadJson(f"`{place}`{why}" if place else f"{what}{why}")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        raise BadJson(explain(problem, what)) from None


def unknown(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not among the known ones."""
    known = list(known)
    return f"{quote(name)}; known are {listed(known, 40)}{did_you_mean(name, known)}"


def not_one_of(text: str, allowed: Iterable[str]) -> str:
    """The end of a sentence about a text that is none of those allowed."""
    allowed = list(allowed)
    names = ", ".join(map(quote, allowed))
    return f"{quote(text)}, which is none of {names}{did_you_mean(text, allowed)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean NAME?` if `word` resembles a known name, else nothing."""
    by_form = {_form(each): each for each in known}
    found = get_close_matches(_form(word), by_form, 1)
    return f"; did you mean {by_form[found[0]]!r}?" if found else ""


def _form(name: str) -> str:
    # As people mix them up.
    return name[:100].casefold().replace("-", "_").replace(".", "_")


def explain(problem: msgspec.ValidationError, what: str) -> str:
    """A mistake in words, beginning with its place, or with `what` if it has none."""
    found = _PLACE.fullmatch(str(problem))
    why, place = (found["why"], found["place"]) if found else (str(problem), None)
    if place is not None:
        what = place.replace("$.", "").replace("`$", "`item ")
    return f"{what}{_reason(why)}"


def _reason(why: str) -> str:
    """Why a value is no good, as the end of a sentence that begins with its place."""
    if found := _BOUND.match(why):
        return f" is not {_SIGNS[found['sign']]} {found['limit']}"
    if found := _LENGTH.match(why):
        what = "characters" if found["kind"] == "str" else "items"
        return f" has not {_SIGNS[found['sign']]} {found['limit']} {what}"
    if found := _MISSING.match(why):
        return f" lacks {found['name']}"
    if _PATTERN.match(why):
        return " has not the right form"
    if found := _KIND.match(why):
        expected = " or ".join(map(_named, found["expected"].split(" | ")))
        got = "" if found["got"] is None else f", but {_named(found['got'])}"
        return f" is not {expected}{got}"
    return f": {why[:1].lower()}{why[1:]}"


def _named(kind: str) -> str:
    return _KINDS.get(kind, kind)


def _mistakes(kind: inspect.Type, value: object, place: str) -> Iterator[_Mistake]:
    """Each unknown member and each text that is not allowed: its place, and why."""
    bare = kind.type if isinstance(kind, inspect.Metadata) else kind
    match bare, value:
        case inspect.StructType(), dict():
            yield from _mistakes_of_members(bare, value, place)
        case inspect.ListType(), list():
            for index, item in enumerate(value):
                yield from _mistakes(bare.item_type, item, f"{place}[{index}]")
        case inspect.LiteralType(), str():
            if value not in bare.values:
                yield place, f" is {not_one_of(value, map(str, bare.values))}"
        case (inspect.UnionType(), _):
            for each in bare.types:
                yield from _mistakes(each, value, place)


def _mistakes_of_members(
    kind: inspect.StructType, value: dict[str, object], place: str
) -> Iterator[_Mistake]:
    fields = {each.encode_name: each.type for each in kind.fields}
    for name, member in value.items():
        if name not in fields:
            yield place, f" has no member {unknown(name, fields)}"
        else:
            yield from _mistakes(fields[name], member, _below(place, name))


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name

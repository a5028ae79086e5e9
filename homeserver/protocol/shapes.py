"""JSON values as structs, with every mistake in plain words.

Rules: a member that a struct does not have is a mistake, in nested objects too. The
message names the place, as in `keys.ids[0]`, and what is allowed there; it has none of
the words of the library that reads.
"""

import re
from collections.abc import Hashable, Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from typing import TypeVar, cast

import msgspec
from msgspec import Struct, inspect

from homeserver.protocol.errors import BadJson, listed, quote

_T = TypeVar("_T", bound=Struct)

_Mistake = tuple[str, str]
_Part = tuple[inspect.Type, object, str]

_KINDS = {
    "array": "a list",
    "object": "an object",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}

# Two of three letters in their order: `tsl` leads to `tls`, `second` to nothing.
_LIKENESS = 0.66

# The library's messages: https://jcristharif.com/msgspec, "Usage".
_PLACE = re.compile(r"(?P<why>.*?)(?: - at (?P<place>`.*))?", re.DOTALL)
_KIND = re.compile(r"Expected `(?P<expected>[^`]*)`(?:, got `(?P<got>[^`]*)`)?")
_BOUND = re.compile(r"Expected `(int|float)` (?P<sign>[<>]=?) (?P<limit>\S+)")
_LENGTH = re.compile(
    r"Expected `(?P<kind>\w+)` of (?P<length>length (?P<sign>[<>]=) (?P<limit>\d+))"
)
_PATTERN = re.compile(r"Expected `str` matching regex .*", re.DOTALL)
_MISSING = re.compile(r"Object missing required field (?P<name>`[^`]*`)")

# What is wrong with a value that is not so.
_SIGNS = {
    ">=": "less than",
    "<=": "more than",
    ">": "not more than",
    "<": "not less than",
}


def read(kind: type[_T], value: object, what: str = "the body") -> _T:
    """`value`, which `parse` returned, as a struct.

    Raises `BadJson`, whose message calls the outermost object `what`.
    """
    try:
        converted = convert(kind, value, what)
    except ValueError as problem:
        raise BadJson(str(problem)) from None
    return cast("_T", converted)


def convert(kind: Hashable, value: object, what: str) -> object:
    """`value` as a type that the library knows; raises `ValueError` as `read`."""
    for place, why in _mistakes(described(kind), value, ""):
        raise ValueError(f"`{place}`{why}" if place else f"{what}{why}")
    try:
        converted: object = msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        raise ValueError(explain(problem, what)) from None
    return converted


@cache  # of the types in the code; describing one takes a tenth of a millisecond
def described(kind: Hashable) -> inspect.Type:
    """A type that the library knows, as it describes it."""
    return inspect.type_info(kind)


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
    found = get_close_matches(_form(word), by_form, 1, _LIKENESS)
    return f"; did you mean {by_form[found[0]]!r}?" if found else ""


def _form(name: str) -> str:
    # As people mix them up.
    return name[:100].casefold().replace("-", "_").replace(".", "_")


def explain(problem: msgspec.ValidationError, what: str) -> str:
    """A mistake in words, beginning with its place, or with `what` if it has none."""
    found = _PLACE.fullmatch(str(problem))
    why, place = (found["why"], found["place"]) if found else (str(problem), None)
    if place is not None:
        what = place.replace("$.", "").replace("$", "")
    return f"{what}{_reason(why)}"


def _reason(why: str) -> str:
    """Why a value is no good, as the end of a sentence that begins with its place."""
    if found := _BOUND.match(why):
        limit = found["limit"].removesuffix(".0")
        return f" is {_SIGNS[found['sign']]} {limit}"
    if found := _LENGTH.match(why):
        what = "character" if found["kind"] == "str" else "item"
        plural = "" if found["limit"] == "1" else "s"
        return f" has {_SIGNS[found['sign']]} {found['limit']} {what}{plural}"
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
    why = _why_not(kind, value)
    if why is not None:
        yield place, why
    for inner in _parts(kind, value, place):
        yield from _mistakes(*inner)


def _why_not(kind: inspect.Type, value: object) -> str | None:
    """What is wrong with a value, but for its parts and its type."""
    match kind, value:
        case inspect.StructType(), dict():
            fields = [each.encode_name for each in kind.fields]
            for name in value:
                if name not in fields:
                    return f" has no member {unknown(name, fields)}"
        case inspect.LiteralType(), str() if value not in kind.values:
            return f" is {not_one_of(value, map(str, kind.values))}"
        case inspect.Metadata(type=inspect.StrType(pattern=str() as pattern)), str():
            if re.search(pattern, value) is None:
                about = kind.extra_json_schema or {}
                form = about.get("description", "in the right form")
                form = form.removesuffix(".")
                if not form[1:2].isupper():  # no "ASCII"
                    form = form[:1].lower() + form[1:]
                return f" is {quote(value)}, which is not {form}"
    return None


def _parts(kind: inspect.Type, value: object, place: str) -> list[_Part]:
    """The parts of a value with their types and their places."""
    match kind, value:
        case inspect.Metadata(), _:
            return [(kind.type, value, place)]
        case inspect.UnionType(), _:
            return [(each, value, place) for each in kind.types]
        case ((inspect.ListType() | inspect.VarTupleType()), list()):
            items = enumerate(value)
            return [(kind.item_type, item, f"{place}[{n}]") for n, item in items]
        case _, dict():
            return _members(kind, value, place)
    return []


def _members(kind: inspect.Type, value: dict[str, object], place: str) -> list[_Part]:
    if isinstance(kind, inspect.DictType):
        return [
            (kind.value_type, member, f"{place}[{quote(name)}]")
            for name, member in value.items()
        ]
    fields = kind.fields if isinstance(kind, inspect.StructType) else ()
    return [
        (each.type, value[each.encode_name], f"{place}.{each.encode_name}".lstrip("."))
        for each in fields
        if each.encode_name in value
    ]

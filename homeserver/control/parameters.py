"""Query parameters of the control API, read as the fields of a struct.

Rules: a parameter is given at most once, and an unknown one is an error that names the
known ones. An empty value is the default, but a server's name is never empty. A number
above its maximum counts as the maximum: an answer says where the next one goes on.
"""

import re
from collections.abc import Sequence
from typing import Annotated, TypeVar
from urllib.parse import parse_qs

from msgspec import Meta, Struct, inspect

from homeserver.control.client import MAX_WAIT_SECONDS
from homeserver.protocol.errors import InvalidParam, listed, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.shapes import described, did_you_mean, not_one_of

_T = TypeVar("_T", bound=Struct)

MAX_LIMIT = 1000  # entries in one answer

_MAX_PARAMETERS = 50  # no route has half as many

_MAX_DIGITS = 18

# As JSON has numbers, without a sign; Python would read more: "nan", "1_000".
_SECONDS = re.compile(rb"[0-9]{1,18}(\.[0-9]*)?|\.[0-9]+")

Origin = Annotated[
    ServerName | None, Meta(description="Only those that name this server as origin.")
]

Limit = Annotated[
    int, Meta(ge=0, le=MAX_LIMIT, description="How many entries, at most.")
]

Wait = Annotated[
    float,
    Meta(
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="How many seconds to wait for a first entry.",
    ),
]


class Page(Struct, frozen=True):
    """Which entries of a list, and how long to wait for one."""

    after: Annotated[
        int, Meta(ge=0, description="The ID of the last entry that the client has.")
    ] = 0
    origin: Origin = None
    limit: Limit = 100
    wait: Wait = 0.0


class PeerPage(Struct, frozen=True):
    """Which known peers."""

    after: Annotated[
        str,
        Meta(
            description="The `next` of the last page: the name of the last peer that "
            "the client has, after that of our server and a slash for all servers."
        ),
    ] = ""
    limit: Annotated[
        int, Meta(ge=0, le=MAX_LIMIT, description="How many peers, at most.")
    ] = 100


class Waiting(Struct, frozen=True):
    """How long to wait for the outcome."""

    wait: Annotated[
        float,
        Meta(
            ge=0,
            le=MAX_WAIT_SECONDS,
            description="How many seconds to wait for the outcome.",
        ),
    ] = 0.0


class CacheFilter(Struct, frozen=True):
    """Which kept answers."""

    server: Annotated[
        ServerName | None, Meta(description="Only those about this server.")
    ] = None
    limit: Limit = MAX_LIMIT


class OfServer(Struct, frozen=True):
    """Which server."""

    server: Annotated[
        ServerName | None, Meta(description="Only what concerns this server.")
    ] = None


class OfWorker(Struct, frozen=True):
    """Which of several processes."""

    worker: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Only what this worker has, from 1 on; else the sum of all."),
    ] = None


class StateFilter(Struct, frozen=True):
    """Which state."""

    of: Annotated[
        str, Meta(description="The kinds of state, with commas between them.")
    ] = ""
    server: Annotated[
        ServerName | None, Meta(description="Only that of this server of ours.")
    ] = None


class KeyVersions(Struct, frozen=True):
    """Which key documents."""

    v2_only: Annotated[bool, Meta(description="Whether to leave out version 1.")] = (
        False
    )


def read_query(kind: type[_T], target: bytes) -> _T:
    """The query of a request's target as a struct; raises `InvalidParam`."""
    # Twisted's own reading leaves out a name without a value.
    query = target.partition(b"?")[2].decode("latin-1")
    try:
        arguments = parse_qs(
            query,
            keep_blank_values=True,
            encoding="latin-1",  # of any byte
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise InvalidParam(
            f"the query has more than {_MAX_PARAMETERS} parameters"
        ) from None
    fields = {each.name: each.type for each in fields_of(kind)}
    values = {}
    for name, given in arguments.items():
        if name not in fields:
            raise InvalidParam(
                f"there is no query parameter {quote(name)} here; known are "
                f"{listed(fields)}{did_you_mean(name, fields)}"
            )
        if len(given) > 1:
            raise InvalidParam(f"`{name}` is given more than once")
        bare = bare_type(fields[name])
        if given[0] or isinstance(bare, inspect.StructType):
            values[name] = _value(name, given[0].encode("latin-1"), bare)
    return kind(**values)


def fields_of(kind: type[Struct]) -> Sequence[inspect.Field]:
    """The fields of a struct with their types."""
    found = described(kind)
    return found.fields if isinstance(found, inspect.StructType) else ()


def bare_type(kind: inspect.Type) -> inspect.Type:
    """The type of a parameter without its description and without None."""
    match kind:
        case inspect.Metadata():
            return bare_type(kind.type)
        case inspect.UnionType():
            [bare] = [t for t in kind.types if not isinstance(t, inspect.NoneType)]
            return bare_type(bare)
        case _:
            return kind


def _value(name: str, text: bytes, kind: inspect.Type) -> object:
    match kind:
        case inspect.IntType():
            return _bounded(name, integer(f"`{name}`", text), kind)
        case inspect.FloatType():
            return _bounded(name, _seconds(name, text), kind)
        case inspect.BoolType():
            if text not in {b"true", b"false"}:
                raise InvalidParam(f"`{name}` is neither true nor false: {quote(text)}")
            return text == b"true"
        case inspect.LiteralType():
            word = text.decode("utf-8", "replace")
            if word not in kind.values:
                raise InvalidParam(
                    f"`{name}` is {not_one_of(word, map(str, kind.values))}"
                )
            return word
        case inspect.StructType():
            return ServerName.parse(text.decode("latin-1"))
        case _:
            return text.decode("utf-8", "replace")


def _bounded(
    name: str, number: float, kind: inspect.IntType | inspect.FloatType
) -> float:
    """A number within the bounds of its type; raises `InvalidParam` if it is below."""
    if kind.ge is not None and number < kind.ge:
        raise InvalidParam(f"`{name}` is {number}; give {kind.ge:g} at least")
    return number if kind.le is None else min(number, kind.le)


def _seconds(name: str, text: bytes) -> float:
    if _SECONDS.fullmatch(text) is None:
        raise InvalidParam(
            f"`{name}` is {quote(text)}, not a number of seconds from 0 on"
        )
    return float(text)


def integer(what: str, text: bytes) -> int:
    """A number that is not negative and fits into 64 bits, which 18 digits do."""
    if not text.isdigit():
        raise InvalidParam(f"{what} is {quote(text)}, not a whole number from 0 on")
    if len(text) > _MAX_DIGITS:
        raise InvalidParam(
            f"{what} has more than {_MAX_DIGITS} digits; give a smaller one"
        )
    return int(text)

"""What a fault is, and the arguments that faults take.

Rules: a fault changes one exchange and nothing else. Its argument is checked when the
rule is made.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.net.exchange import Direction, Exchange, Kind
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.errors import BadJson
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import SigningKey


class Unanswered(Exception):
    """Nothing is sent."""


Continue = Callable[[], Awaitable[Reply]]
"""What answers the request where no fault does: the next fault, or the server."""

MAX_SECONDS = 600.0  # as long as the control API waits for anything

_MAX_TEXT = 2000  # bytes of a header; clients take four times as many


class KeyChain(Protocol):
    """The keys of the lab's servers, by the name of the server."""

    def signing(self, server: str) -> Sequence[SigningKey]:
        """Those that sign; none for a name that the lab does not have."""
        ...

    def spare(self, server: str, key_id: KeyId) -> SigningKey:
        """The key for any ID; raises `NotFound`."""
        ...

    def policy(self, server: str) -> SigningKey | None:
        """The key of a policy server; None for one that is none."""
        ...


class Case(Struct, frozen=True):
    """A request that a fault acts on."""

    request: Request
    clock: IReactorTime
    keys: KeyChain

    @property
    def server(self) -> str:
        """The name of the server that answers."""
        return self.request.exchange.server


Act = Callable[[object, Continue, Case], Awaitable[Reply]]
"""Answers a request: with its argument, what answers otherwise, and the request."""

Act_co = TypeVar("Act_co", covariant=True)


class Fault(Struct, Generic[Act_co], frozen=True):
    """One kind of fault, with what it does: an `Act` for requests."""

    summary: str
    """A sentence about what the other side gets."""

    right: str
    """A sentence about what a right server does when it gets this."""

    check: Callable[[object], object]
    """Returns the argument, or raises `BadJson`."""

    act: Act_co
    argument: str = "true"
    """What the argument is, in words."""

    routes: Sequence[str] = ()
    """The beginnings of the templates that it acts on; without one, all."""

    kind: Kind = "request"
    """The exchanges that it acts on."""

    directions: tuple[Direction, ...] = ("in",)

    def applies(self, exchange: Exchange) -> bool:
        """Whether it can act on an exchange."""
        return (
            exchange.kind == self.kind
            and exchange.direction in self.directions
            and (not self.routes or exchange.route.startswith(tuple(self.routes)))
        )


def flag(name: str) -> Callable[[object], object]:
    """An argument that is `true`."""

    def check(value: object) -> object:
        if value is not True:
            raise BadJson(f"`{name}` is true, or left out")
        return value

    return check


Switch = tuple[str, Act, str]
"""A fault that is on or off: its summary, what it does, and what is right."""


def switches(
    area: str, rows: Mapping[str, Switch], routes: Sequence[str]
) -> dict[str, Fault[Act]]:
    """The faults of an area that are on or off, by their whole names."""
    return {
        f"{area}.{name}": Fault(
            summary, right, flag(f"{area}.{name}"), act, "true", routes
        )
        for name, (summary, act, right) in rows.items()
    }


def whole(name: str, least: int, most: int) -> Callable[[object], object]:
    """An argument that is an integer."""

    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadJson(f"`{name}` is a whole number")
        if not least <= value <= most:
            raise BadJson(f"`{name}` is {least} to {most}")
        return value

    return check


def seconds(name: str) -> Callable[[object], object]:
    """An argument that is a duration."""

    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadJson(f"`{name}` is a number of seconds")
        if not 0 <= value <= MAX_SECONDS:
            raise BadJson(f"`{name}` is 0 to {MAX_SECONDS:g} seconds")
        return float(value)

    return check


def text(name: str) -> Callable[[object], object]:
    """An argument that can be the value of a header."""

    def check(value: object) -> object:
        if not isinstance(value, str) or not value:
            raise BadJson(f"`{name}` is a text")
        if not value.isascii() or not value.isprintable() or len(value) > _MAX_TEXT:
            raise BadJson(
                f"`{name}` is up to {_MAX_TEXT} characters of printable ASCII"
            )
        return value

    return check


def json_value(name: str) -> Callable[[object], object]:
    """An argument that is any JSON."""

    def check(value: object) -> object:
        try:
            encode(value)
        except (TypeError, ValueError, RecursionError):
            raise BadJson(f"`{name}` is JSON") from None
        return value

    return check


def with_headers(reply: Reply, **headers: str) -> Reply:
    """A reply with more headers; `_` stands for `-` in their names."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(reply.body, reply.status, {**reply.headers, **named})


def with_body(reply: Reply, body: bytes) -> Reply:
    """A reply with another body."""
    return Reply(body, reply.status, reply.headers)

"""The question of another server about rooms: its path, query and body, as values.

Rules: each reader raises the error that names the parameter and says what it has to be.

Specification: Server-server API, "Errors".
"""

from collections.abc import Mapping, Sequence
from typing import Self

from msgspec import Struct

from homeserver.http.request import Request
from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.signed_requests import cause_of
from homeserver.net.cause import Cause
from homeserver.protocol.canonical_json import Json, as_integer
from homeserver.protocol.errors import (
    Forbidden,
    InvalidParam,
    MissingParam,
    quote,
)
from homeserver.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    parse_room_id,
)

_MAX_VALUES = 100  # of one parameter of the query


class Question(Struct, frozen=True):
    """A request about rooms whose origin is proven."""

    origin: ServerName
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    content: Json
    """The body; empty without one."""

    cause: Cause

    @classmethod
    def of(cls, request: Request, origin: ProvenOrigin, content: Json | None) -> Self:
        """The question of a request; raises `InvalidParam` for text not in UTF-8."""
        path = {name: _text(step) for name, step in request.parameters.items()}
        query = {
            _text(name): [_text(each) for each in values[:_MAX_VALUES]]
            for name, values in request.args.items()
        }
        return cls(origin.server_name, path, query, content or {}, cause_of(request))

    @property
    def room_id(self) -> RoomId:
        """The room of the path; raises `InvalidParam`."""
        return parse_room_id(self.path["roomId"])

    @property
    def event_id(self) -> EventId:
        """The event of the path."""
        return EventId(self.path["eventId"])

    @property
    def user(self) -> UserId:
        """The user of the path, who is one of the origin's.

        Raises `InvalidParam` and `Forbidden`.
        """
        user = UserId.parse(self.path["userId"])
        if user.server_name != self.origin:
            raise Forbidden(f"{quote(user.user_id)} is not a user of {self.origin}")
        return user

    def all_of(self, name: str) -> Sequence[str]:
        """The values of a parameter that may be repeated; raises `MissingParam`."""
        values = self.query.get(name)
        if not values:
            raise MissingParam(f"the query has no `{name}`")
        return values

    def one_of(self, name: str) -> str:
        """The value of a parameter; raises `MissingParam` and `InvalidParam`."""
        values = self.all_of(name)
        if len(values) > 1:
            raise InvalidParam(f"the query has more than one `{name}`")
        return values[0]

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number, not negative; raises as `one_of`."""
        if name not in self.query and default is not None:
            return default
        text = self.one_of(name)
        if not (text.isascii() and text.isdigit() and len(text) < 17):
            raise InvalidParam(f"`{name}` is {quote(text)}, not a whole number")
        return int(text)

    def count(self, name: str, default: int) -> int:
        """A number of the body that is not negative.

        Raises `BadJson` and `InvalidParam`.
        """
        value = as_integer(self.content.get(name, default), f"`{name}`")
        if value < 0:
            raise InvalidParam(f"`{name}` is {value}, and may not be negative")
        return value

    def flag(self, name: str) -> bool:
        """A boolean, false by default; raises `InvalidParam`."""
        if name not in self.query:
            return False
        text = self.one_of(name)
        if text not in {"true", "false"}:
            raise InvalidParam(f"`{name}` is {quote(text)}, not true or false")
        return text == "true"


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParam(f"{quote(data)} is not UTF-8") from None

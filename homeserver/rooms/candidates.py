"""The servers that are asked about a room that we are not in, one after the other.

Rules: a bounded number of servers is asked, each once, and never ourselves. Where one
fails, the next one is asked, unless the answer is a final one. If none helps, the error
names each server and why it did not.

| answer | then |
|---|---|
| no answer, or an unusable one | the next server |
| 404; 5xx; a restricted room whose join it cannot authorise | the next server |
| 403; a room version that we do not have | the end |

Specification: Server-server API, "Joining Rooms"; Client-server API, "Restricted
rooms".
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct

from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    InvalidParam,
    NoServerHelps,
    NotFound,
    ProtocolError,
)
from homeserver.protocol.events.room_versions import is_room_version
from homeserver.protocol.identifiers import RoomId, ServerName

MAX_ASKED = 10  # as many as make a user wait; each may take a minute

_T = TypeVar("_T")


class Failure(Struct, frozen=True):
    """A server that did not help, and why."""

    server_name: ServerName
    why: str
    status: int | None = None
    """That of an error response."""


class Candidates:
    """The servers that are asked."""

    def __init__(self, own: ServerName, names: Iterable[ServerName]) -> None:
        """`names` are in the order in which they are asked."""
        distinct = dict.fromkeys(each for each in names if each != own)
        self.names: Sequence[ServerName] = list(distinct)[:MAX_ASKED]
        self.failures: list[Failure] = []

    async def ask(
        self, what: str, question: Callable[[ServerName], Awaitable[_T]]
    ) -> _T:
        """The answer of the first server that has one; `what` is for the error.

        Raises `InvalidParam` without candidates, and `Forbidden`, `NotFound`,
        `IncompatibleRoomVersion` or `NoServerHelps` if none helps.
        """
        if not self.names:
            raise InvalidParam(
                f"{what}: no server is known to ask; name some in `via` (`--via NAME`)"
            )
        for name in self.names:
            try:
                return await question(name)
            except (Unreachable, Refused, ProtocolError) as problem:
                why = str(problem)
                status = problem.status if isinstance(problem, Refused) else None
                self.failures.append(Failure(name, why, status))
                if isinstance(problem, Refused):
                    self._raise_final(what, problem)
        if all(each.status == 404 for each in self.failures):
            raise NotFound(f"{what}: {self.said}")
        raise NoServerHelps(f"{what}: {self.said}")

    @property
    def said(self) -> str:
        """What the servers that did not help have said."""
        return "; ".join(
            each.why
            if each.why.startswith(each.server_name.name)
            else f"{each.server_name}: {each.why}"
            for each in self.failures
        )

    def _raise_final(self, what: str, refused: Refused) -> None:
        if refused.status == 403:
            raise Forbidden(f"{what}: {self.said}") from None
        if refused.errcode == "M_INCOMPATIBLE_ROOM_VERSION":
            named = None if refused.reply is None else refused.reply.get("room_version")
            version = named if is_room_version(named) else ""
            raise IncompatibleRoomVersion(f"{what}: {self.said}", str(version))


def domain_of_room(room_id: RoomId) -> list[ServerName]:
    """The server that a room ID names, which created the room; version 12 names none.

    It is the last one to be asked: it may have left long ago.
    """
    _, _, domain = room_id.partition(":")
    try:
        return [ServerName.parse(domain)] if domain else []
    except InvalidParam:
        return []

"""The servers that are asked one after the other, and what is told of them."""

import pytest

from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.errors import (
    BadJson,
    IncompatibleRoomVersion,
    InvalidParam,
    NoServerHelps,
)
from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.rooms.candidates import MAX_ASKED, Candidates, domain_of_room
from tests.support.coroutines import result_of

OWN = ServerName.parse("own.example")
A, B, C = (ServerName.parse(f"{x}.example") for x in "abc")


def ask(candidates: Candidates, *errors: Exception) -> ServerName:
    """The server that answers, after so many that do not."""
    waiting = list(errors)

    async def question(name: ServerName) -> ServerName:
        if waiting:
            raise waiting.pop(0)
        return name

    return result_of(candidates.ask("it fails", question))


def test_order() -> None:
    """Each is asked once, in order, ourselves never, and no more than a few."""
    assert Candidates(OWN, [B, OWN, A, B]).names == [B, A]
    many = [ServerName.parse(f"s{number}.example") for number in range(50)]
    assert Candidates(OWN, many).names == many[:MAX_ASKED]
    with pytest.raises(InvalidParam, match="it fails: no server is known"):
        ask(Candidates(OWN, [OWN]))


def test_failures() -> None:
    """Whoever did not help is told, each with its reason, and named once."""
    candidates = Candidates(OWN, [A, B, C])
    errors = Unreachable(A, ["no route"]), BadJson("`event` is none")
    assert ask(candidates, *errors) == C
    assert [x.server_name for x in candidates.failures] == [A, B]
    assert candidates.said == f"{Unreachable(A, ['no route'])}; {B}: `event` is none"
    refusals = Refused(A, 500, None, ""), Refused(B, 404, "M_NOT_FOUND", "")
    with pytest.raises(NoServerHelps, match=f"{A} answers 500; {B} answers 404"):
        ask(Candidates(OWN, [A, B]), *refusals)


@pytest.mark.parametrize(
    ("reply", "version"),
    [
        ({"room_version": "13"}, "13"),
        ({"room_version": ["13"]}, ""),
        ({"room_version": "\n" * 9}, ""),
        (None, ""),
    ],
)
def test_other_version(reply: dict[str, object] | None, version: str) -> None:
    """The version that a server names is passed on, if it may be one."""
    refused = Refused(A, 400, "M_INCOMPATIBLE_ROOM_VERSION", "", reply=reply)
    with pytest.raises(IncompatibleRoomVersion) as caught:
        ask(Candidates(OWN, [A, B]), refused)
    assert caught.value.members == {"room_version": version}


def test_domain() -> None:
    """A room ID names a server up to version 11."""
    assert domain_of_room(RoomId("!r:a.example")) == [A]
    assert domain_of_room(RoomId("!" + "a" * 43)) == []

"""J: each check has a fault that turns it red."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from homeserver.conformance.provision import ROOM_VERSIONS
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.state import StateMap
from tests.conformance.faulty import (
    Row,
    answers_where,
    changed_json,
    changed_reply,
    check_row,
    error,
    patched,
    takes,
)
from tests.support.conformance_stage import Fault, Stage

_MAKE = "/_matrix/federation/v1/make_join"
_SEND = "/_matrix/federation/v2/send_join"

_WHOLE_JOINS = {f"J20.v{version}" for version in ROOM_VERSIONS}

_Object = dict[str, Any]


def _template(change: Callable[[_Object], _Object]) -> Fault:
    """The event of each template, changed."""

    def changed(content: _Object) -> _Object:
        if "event" not in content:
            return content
        return {**content, "event": change(content["event"])}

    return changed_json(_MAKE, changed)


def _state(change: Callable[[list[_Object]], list[_Object]]) -> Fault:
    """The state of each reply to a join, changed."""

    def changed(content: _Object) -> _Object:
        if "state" not in content:
            return content
        return {**content, "state": change(content["state"])}

    return changed_json(_SEND, changed)


def _is_create(pdu: _Object, version: str) -> bool:
    is_create = pdu["type"] == "m.room.create"
    return is_create and bool(pdu["content"]["room_version"] == version)


def _without_create(version: str, state: list[_Object]) -> list[_Object]:
    return [each for each in state if not _is_create(each, version)]


def _unsigned(state: list[_Object]) -> list[_Object]:
    return [{**each, "signatures": {}} for each in state]


def _without(name: str, content: _Object) -> _Object:
    return {key: value for key, value in content.items() if key != name}


def _without_theirs(content: _Object) -> _Object:
    """A reply without the target's signature of the join."""
    if "event" not in content:
        return content
    signatures = {
        name: each
        for name, each in content["event"]["signatures"].items()
        if not name.startswith("localhost")
    }
    return {**content, "event": {**content["event"], "signatures": signatures}}


def _once() -> Fault:
    """A target that refuses a join which it has taken."""
    seen: set[bytes] = set()

    def change(reply: Reply, request: Request) -> Reply:
        if request.path in seen:
            return error(400, "M_INVALID_PARAM")
        seen.add(request.path)
        return reply

    return changed_reply(_SEND, change)


def _needs_version(reply: Reply, request: Request) -> Reply:
    if b"ver" in request.args:
        return reply
    content = {
        "errcode": "M_INCOMPATIBLE_ROOM_VERSION",
        "error": "",
        "room_version": "10",
    }
    return Reply(msgspec.json.encode(content), 400)


def _allows(is_denied: Callable[[ServerName, list[str]], bool]) -> Fault:
    """An ACL that is read in another way."""

    def may_take_part(state: StateMap, server: ServerName) -> bool:
        event = state.get(("m.room.server_acl", ""))
        denied = [] if event is None else event.content["deny"]
        assert isinstance(denied, list)
        return not is_denied(server, denied)

    return patched({"homeserver.rooms.resident.may_take_part": may_take_part})


ROWS: list[Row] = [
    ("another member", _template(lambda e: {**e, "type": "m.room.name"}), {"J01"}),
    (
        "no code for a version",
        answers_where(_MAKE, b"_ROOM_VERSION", error(400, "M_INVALID_PARAM")),
        {"J02"},
    ),
    ("always a version", changed_reply(_MAKE, _needs_version), {"J03"}),
    (
        "another code for no room",
        answers_where(_MAKE, b"M_NOT_FOUND", error(404, "M_UNKNOWN")),
        {"J04"},
    ),
    ("others' users", takes(_MAKE, b"is not a user of"), {"J05"}),
    ("the uninvited", takes(_MAKE, b"join rule 'invite'"), {"J06"}),
    ("the banned", takes(_MAKE, b"is banned"), {"J07"}),
    ("no ACL of templates", takes(_MAKE, b"server ACL"), {"J08", "J08b"}),
    (
        "an ACL of small letters",
        _allows(lambda server, denied: server.host in denied),
        {"J08b"},
    ),
    (
        "an ACL with ports",
        _allows(lambda server, denied: server.name in denied),
        {"J08", "J08b"},
    ),
    ("no such room", takes(_MAKE, b"not a room ID"), {"J09"}),
    ("no countersignature", changed_json(_SEND, _without_theirs), {"J10"}),
    ("an unmet condition", takes(_MAKE, b"is in no room that"), {"J11"}),
    (
        "no code for what it cannot judge",
        answers_where(_MAKE, b"M_UNABLE_TO_AUTHORISE", error(403, "M_FORBIDDEN")),
        {"J12"},
    ),
    (
        "no code for what it cannot grant",
        answers_where(_MAKE, b"M_UNABLE_TO_GRANT", error(403, "M_FORBIDDEN")),
        {"J13"},
    ),
    (
        "no servers",
        changed_json(_SEND, partial(_without, "servers_in_room")),
        {"J21"},
    ),
    ("wrong signatures", takes(_SEND, b"does not verify"), {"J30"}),
    ("no signatures", takes(_SEND, b"is not signed by"), {"J31"}),
    ("messages", takes(_SEND, b"`type` is"), {"J32"}),
    ("leaves", takes(_SEND, b"`membership` is"), {"J33"}),
    ("other state keys", takes(_SEND, b"state key is another"), {"J34"}),
    ("others' users who join", takes(_SEND, b"sender's server is"), {"J35"}),
    ("other rooms", takes(_SEND, b"`room_id` is"), {"J36"}),
    ("floats", takes(_SEND, b"no floats"), {"J38"}),
    ("the uninvited who join", takes(_SEND, b"join rule 'invite'"), {"J39"}),
    ("once", _once(), {"J40"}),
    ("no ACL of joins", takes(_SEND, b"server ACL"), {"J41"}),
    *(
        (
            f"no create event in version {version}",
            _state(partial(_without_create, version)),
            {f"J20.v{version}"},
        )
        for version in ROOM_VERSIONS
    ),
    ("unsigned state", _state(_unsigned), _WHOLE_JOINS),
]


@pytest.mark.parametrize(("name", "fault", "expected"), ROWS)
def test_a_fault_turns_its_checks_red(
    on_stage: Stage, name: str, fault: Fault, expected: set[str]
) -> None:
    """It turns them red, and no others of this area.

    Joins to rooms of all versions are made where the fault is about them.
    """
    skip = [] if expected & _WHOLE_JOINS else sorted(_WHOLE_JOINS - {"J20.v10"})
    check_row(on_stage, fault, expected, ["J"], skip)

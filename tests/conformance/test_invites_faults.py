"""I: each check has a fault that turns it red."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import IncompatibleRoomVersion, InvalidParam
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.protocol.rooms.state import membership_of
from homeserver.protocol.rooms.templates import Required, check_invite_state, check_sent
from homeserver.rooms.author import Author
from homeserver.rooms.checking import EventChecks
from homeserver.rooms.invites import _version
from tests.conformance.faulty import (
    Row,
    changed_reply,
    error,
    fault_test,
    patched,
)
from tests.support.conformance_stage import Fault, Stage
from tests.support.tables import cases

_V1, _V2 = ("/_matrix/federation/v1/invite", "/_matrix/federation/v2/invite")
_countersigned = Author.countersigned

VERSIONS = ("1", "3", "6", "10", "11", "12")
SOUND = {f"I01.v{version}" for version in VERSIONS}


def _signs(change: Callable[[Json, ServerName], Json]) -> Fault:
    """What it answers with, changed."""

    def countersigned(author: Author, event: Event) -> Json:
        return change(_countersigned(author, event), author.server_name)

    return patched({"homeserver.rooms.author.Author.countersigned": countersigned})


def _without_its_own(pdu: Any, own: ServerName) -> Json:
    signatures = {k: v for k, v in pdu["signatures"].items() if k != own.name}
    return {**pdu, "signatures": signatures}


def _with_its_own_alone(pdu: Any, own: ServerName) -> Json:
    return {**pdu, "signatures": {own.name: pdu["signatures"][own.name]}}


def _with_a_wrong_one(pdu: Any, own: ServerName) -> Json:
    signatures = {**pdu["signatures"], own.name: {"ed25519:target": "A" * 86}}
    return {**pdu, "signatures": signatures}


def _overlooks(change: Callable[[Event, Required], Required]) -> Fault:
    """Demands of an event in one thing what it has."""

    def check(event: Event, sent: Required) -> None:
        check_sent(event, change(event, sent))

    return patched({"homeserver.rooms.invites.check_sent": check})


def _overlooks_the_type() -> Fault:
    def check(event: Event, sent: Required) -> None:
        pdu = {**event.pdu, "type": "m.room.member"}
        as_member = Event.parse(pdu, event.room_version)
        check_sent(as_member, replace(sent, event_id=as_member.event_id))

    return patched({"homeserver.rooms.invites.check_sent": check})


def _of_state_key(event: Event, sent: Required) -> Required:
    target = UserId.parse(event.state_key or "").server_name
    return replace(sent, target=target)


def _knows_not(version: str) -> Fault:
    def found(value: object) -> RoomVersion:
        if value == version:
            raise IncompatibleRoomVersion("too new", version)
        return _version(value)

    return patched({"homeserver.rooms.invites._version": found})


def _answers(status: int, errcode: str) -> Fault:
    refusal = error(status, errcode)
    return changed_reply("/_matrix/federation/v2/invite/", lambda _, __: refusal)


def _refuses_as_invalid(value: object) -> RoomVersion:
    if value not in ROOM_VERSIONS:
        raise InvalidParam("unknown")
    return _version(value)


async def _unverified(
    _: EventChecks, pdu: Json, room_version: RoomVersion, *__: object
) -> Event:
    return Event.parse(pdu, room_version)


def _state(
    check: Callable[[Sequence[Json], RoomId, RoomVersion], object],
) -> Fault:
    return patched({"homeserver.rooms.invites.check_invite_state": check})


def _needs_no_create(
    state: Sequence[Json], room_id: RoomId, version: RoomVersion
) -> None:
    try:
        check_invite_state(state, room_id, version)
    except InvalidParam as problem:
        if "lacks" not in str(problem):
            raise


def _needs_some_create(state: Sequence[Json], _: RoomId, version: RoomVersion) -> None:
    if version.has_hash_room_id and not any(
        each["type"] == "m.room.create" for each in state
    ):
        raise InvalidParam("there is no create event")


def _fails_without(member: str) -> Fault:
    def has_not(request: Request) -> bool:
        assert request.content is not None
        request.content.seek(0)
        return member not in msgspec.json.decode(request.content.read())

    return changed_reply(_V2, lambda _, __: Reply(b"{}", 500), has_not)


def _unlisted(reply: Reply, _: Request) -> Reply:
    return Reply(reply.body.removeprefix(b"[200,").removesuffix(b"]"), reply.status)


def _taken(reply: Reply, _: Request) -> Reply:
    return Reply(b"{}") if b"1.5" in reply.body else reply


ROWS: list[Row] = [
    ("not signed", _signs(_without_its_own), SOUND),
    ("other signatures removed", _signs(_with_its_own_alone), SOUND),
    ("a wrong signature", _signs(_with_a_wrong_one), SOUND),
    (
        "something added",
        _signs(lambda pdu, _: {**pdu, "origin": "target.example"}),
        SOUND,
    ),
    (
        "not verified",
        patched({"homeserver.rooms.checking.EventChecks.one": _unverified}),
        {"I02"},
    ),
    (
        "another code for an unknown version",
        patched({"homeserver.rooms.invites._version": _refuses_as_invalid}),
        {"I03"},
    ),
    ("any user", _overlooks(_of_state_key), {"I04"}),
    (
        "any membership",
        _overlooks(lambda event, sent: replace(sent, membership=membership_of(event))),
        {"I05"},
    ),
    ("any type", _overlooks_the_type(), {"I06"}),
    ("no create event", _state(_needs_no_create), {"I07"}),
    ("any create event", _state(_needs_some_create), {"I08"}),
    (
        "any sender",
        _overlooks(lambda e, sent: replace(sent, origin=e.sender.server_name)),
        {"I10"},
    ),
    ("no list", changed_reply(_V1, _unlisted), {"I12"}),
    (
        "any room",
        _overlooks(lambda event, sent: replace(sent, room_id=event.room_id)),
        {"I13"},
    ),
    ("fails without an event", _fails_without("event"), {"I14"}),
    ("fails without a version", _fails_without("room_version"), {"I15"}),
    ("floats", changed_reply(_V2, _taken), {"I16"}),
]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["I"])


# What the text lets a target refuse is no failure.
CHOICES: list[tuple[str, Fault, str]] = [
    ("a version", _knows_not("6"), "the target has no rooms of this version"),
    ("ours", _answers(403, "M_FORBIDDEN"), "lets none of ours invite its user"),
    ("all", _answers(403, "M_INVITE_BLOCKED"), "the target's user blocks invites"),
]


@cases("fault why", CHOICES)
def test_what_a_target_may_refuse(on_stage: Stage, fault: Fault, why: str) -> None:
    """Nothing is judged then."""
    result = on_stage.run(["I01.v6"], fault)["I01.v6"]
    assert (result.result, why in result.observed) == ("not-testable", True)


def test_an_invite_that_is_refused_without_a_reason(on_stage: Stage) -> None:
    """It is a failure."""
    for fault in (_answers(403, "M_UNKNOWN"), _answers(400, "M_FORBIDDEN")):
        assert on_stage.run(["I01.v6"], fault)["I01.v6"].result == "fail"

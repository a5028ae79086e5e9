"""J: each check has a fault that turns it red."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from homeserver.conformance.provision import ROOM_VERSIONS
from tests.conformance.faulty import Row, changed_json, red
from tests.support.conformance_stage import Fault, Stage

_MAKE = "/_matrix/federation/v1/make_join"
_SEND = "/_matrix/federation/v2/send_join"

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


ROWS: list[Row] = [
    ("another member", _template(lambda e: {**e, "type": "m.room.name"}), {"J01"}),
    *(
        (
            f"no create event in version {version}",
            _state(partial(_without_create, version)),
            {f"J20.v{version}"},
        )
        for version in ROOM_VERSIONS
    ),
    ("unsigned state", _state(_unsigned), {f"J20.v{each}" for each in ROOM_VERSIONS}),
]


@pytest.mark.parametrize(("name", "fault", "expected"), ROWS)
def test_a_fault_turns_its_checks_red(
    on_stage: Stage, name: str, fault: Fault, expected: set[str]
) -> None:
    """It turns them red, and no others of this area."""
    assert red(on_stage, fault, ["J"]) == expected

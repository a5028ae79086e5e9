"""X: what is forgotten in a restart turns its check red."""

from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.protocol.canonical_json import Json
from tests.conformance.faulty import Row, changed_reply, fault_test, patched
from tests.support.conformance_stage import Fault
from tests.support.target_rooms import TargetRooms

_SEND = "/_matrix/federation/v1/send"
_MAKE = "tests.support.target_rooms.TargetRooms.make"
_make = TargetRooms.make


def _forgotten() -> Fault:
    """After a restart, what comes again is refused as a new transaction."""
    restarts: list[str] = []

    async def make(rooms: TargetRooms, need: str, **details: Any) -> Mapping[str, Any]:
        made: Json = await _make(rooms, need, **details)
        if need == "restart":
            restarts.append(need)
        return made

    def change(reply: Reply, _: Request) -> Reply:
        return Reply(msgspec.json.encode({"pdus": {}})) if restarts else reply

    wrap = changed_reply(_SEND, change).wrap
    return Fault(wrap, patched({_MAKE: make}).patched)


ROWS: list[Row] = [("replies forgotten", _forgotten(), {"X27"})]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["X"])

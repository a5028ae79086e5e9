"""E: each check has a fault that turns it red."""

from collections.abc import Callable
from functools import partial
from typing import Any

from homeserver.protocol.transactions import Transaction
from tests.conformance.faulty import Row, fault_test, patched
from tests.support.conformance_stage import Fault
from tests.support.logged_errors import PlantedError

_parse = Transaction.parse

_KINDS = {
    "m.typing": 1,
    "m.presence": 2,
    "m.receipt": 3,
    "m.direct_to_device": 4,
    "m.device_list_update": 5,
    "m.signing_key_update": 6,
}


def _breaks(is_meant: Callable[[dict[str, Any]], bool]) -> Fault:
    """A transaction that falls over some of its EDUs."""

    def parse(content: dict[str, Any]) -> Transaction:
        if any(map(is_meant, content.get("edus", ()))):
            raise PlantedError("broken")
        return _parse(content)

    return patched({"homeserver.protocol.transactions.Transaction.parse": parse})


def _form(edu: dict[str, Any]) -> int:
    """The tens of the ID of the check that sends an EDU."""
    content = edu["content"]
    if not content:
        return 1
    if set(map(str, content.values())) == {"5"}:
        return 3
    return 2 if "@user:elsewhere.invalid" in str(content) else 0


def _is_of(kind: str, edu: dict[str, Any]) -> bool:
    return bool(edu["edu_type"] == kind)


def _has_form(tens: int, edu: dict[str, Any]) -> bool:
    return _form(edu) == tens


_FORMS = {"sound": 0, "empty": 1, "foreign": 2, "wrong": 3}

ROWS: list[Row] = [
    *(
        (
            f"breaks on {kind}",
            _breaks(partial(_is_of, kind)),
            {f"E{tens}{units}" for tens in _FORMS.values()},
        )
        for kind, units in _KINDS.items()
    ),
    *(
        (
            f"breaks on {name} ones",
            _breaks(partial(_has_form, tens)),
            {f"E{tens}{units}" for units in _KINDS.values()},
        )
        for name, tens in _FORMS.items()
    ),
]

# It needs a room with an ACL.
test_a_fault_turns_its_checks_red = fault_test(ROWS, ["E"], ["E41"])

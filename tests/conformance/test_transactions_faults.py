"""X: each check has a fault that turns it red."""

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
from msgspec.structs import replace

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.protocol.bodies import ReadBody, read_body
from homeserver.protocol.errors import BadJson, Forbidden
from homeserver.protocol.transactions import Transaction
from tests.conformance.faulty import Row, changed_reply, fault_test, patched
from tests.support.conformance_stage import Fault
from tests.support.logged_errors import PlantedError

_SEND = "/_matrix/federation/v1/send"
_parse = Transaction.parse

_Json = dict[str, Any]


def _reads(look: Callable[[_Json], _Json | None]) -> Fault:
    """A parser that looks at a transaction first, and may change it."""

    def parse(content: _Json) -> Transaction:
        return _parse(look(content) or content)

    return patched({"homeserver.protocol.transactions.Transaction.parse": parse})


def _refuses(is_meant: Callable[[_Json], object]) -> Fault:
    def look(content: _Json) -> None:
        if is_meant(content):
            raise BadJson("unknown form")

    return _reads(look)


def _breaks(is_meant: Callable[[_Json], object]) -> Fault:
    def look(content: _Json) -> None:
        if is_meant(content):
            raise PlantedError("broken")

    return _reads(look)


def _forbids_pdus(content: _Json) -> None:
    if any(
        isinstance(each, dict) and "room_id" in each for each in content.get("pdus", ())
    ):
        raise Forbidden("no such room")


def _limits(**limits: int) -> Fault:
    where = "homeserver.protocol.transactions."
    return patched({where + name: value for name, value in limits.items()})


def _numbered() -> Fault:
    numbers = count()
    return _taken(lambda content: {**content, "n": next(numbers)})


def _by_id_alone() -> Fault:
    """Replies that are remembered by the ID, whoever uses it."""
    replies: dict[bytes, Reply] = {}

    def change(reply: Reply, request: Request) -> Reply:
        return replies.setdefault(request.path, reply)

    return changed_reply(_SEND, change)


def _where(status: int, text: bytes, other: Reply) -> Fault:
    """Another answer in place of those of a status with a text."""

    def change(reply: Reply, _: Request) -> Reply:
        return other if reply.status == status and text in reply.body else reply

    return changed_reply(_SEND, change)


def _taken(change: Callable[[_Json], _Json]) -> Fault:
    """Other replies to transactions that are taken."""

    def changed(reply: Reply, _: Request) -> Reply:
        if reply.status != 200:
            return reply
        return Reply(msgspec.json.encode(change(msgspec.json.decode(reply.body))))

    return changed_reply(_SEND, changed)


def _all_taken(content: _Json) -> _Json:
    return {"pdus": {key: {} for key in content.get("pdus", {})}}


def _as_spelled(data: bytes) -> ReadBody:
    return replace(read_body(data), canonical=data)


def _edu_types(content: _Json) -> list[object]:
    edus = content.get("edus", [])
    return [each.get("edu_type") for each in edus if isinstance(each, dict)]


def _has(member: str, value: object) -> Callable[[_Json], bool]:
    return lambda content: content.get(member) == value


ROWS: list[Row] = [
    ("no pdus in the reply", _taken(lambda _: {}), {"X01", "X16"}),
    ("edus needed", _refuses(lambda content: "edus" not in content), {"X02"}),
    ("99 EDUs", _limits(MAX_EDUS=99), {"X03"}),
    ("101 EDUs", _limits(MAX_EDUS=101), {"X04"}),
    (
        "unknown EDUs refused",
        _refuses(lambda content: "org.example.unknown" in _edu_types(content)),
        {"X03", "X05", "X26"},
    ),
    ("another reply each time", _numbered(), {"X06", "X27"}),
    (
        "one code for all",
        _where(400, b"M_NOT_JSON", Reply(b'{"errcode":"M_UNKNOWN"}', 400)),
        {"X07"},
    ),
    ("422 for an array", _where(400, b"not a JSON object", Reply(b"{}", 422)), {"X08"}),
    (
        "an object of PDUs passes",
        _reads(
            lambda c: {**c, "pdus": []} if isinstance(c.get("pdus"), dict) else None
        ),
        {"X12"},
    ),
    ("breaks on a PDU", _breaks(_has("pdus", [5])), {"X13"}),
    ("breaks on an EDU", _breaks(_has("edus", [5])), {"X14"}),
    ("breaks without a type", _breaks(_has("edus", [{"content": {}}])), {"X15"}),
    (
        "one PDU costs all",
        _reads(_forbids_pdus),
        {"X06", "X16", "X19", "X22", "X27"},
    ),
    ("every PDU is taken", _taken(_all_taken), {"X17"}),
    ("51 PDUs", _limits(MAX_PDUS=51), {"X18"}),
    ("49 PDUs", _limits(MAX_PDUS=49), {"X19"}),
    ("remembered by ID alone", _by_id_alone(), {"X22"}),
    (
        "breaks on 5 MB",
        _breaks(lambda c: len(msgspec.json.encode(c)) > 5_000_000),
        {"X25"},
    ),
    (
        "verified as it is spelled",
        patched({"homeserver.inbound.authentication.read_body": _as_spelled}),
        {"X26"},
    ),
]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["X"])

"""What an entry says of its exchange: the transaction, and the rooms."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from homeserver.lab.record.match import Match
from homeserver.lab.record.views import view
from tests.support.exchanges import exchange
from tests.support.lab_records import PDUS, recorded

ROOMS: list[tuple[dict[str, Any], bytes, Sequence[str]]] = [
    ({}, PDUS, ["!a:x", "!b:x"]),
    ({}, b'{"pdus":[]}', []),
    ({}, b'{"pdus":3}', []),
    ({}, b"\xff", []),
    ({}, b'{"pdus":[' + b'{"room_id":"!a:x"},' * 500 + b"{}]}", ["!a:x"]),
    ({}, b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", []),
    ({"txn_id": None}, PDUS, ["!a:x", "!b:x"]),
    ({"txn_id": None, "path": "/_matrix/federation/v1/query/x"}, PDUS, []),
    ({"details": None}, PDUS, []),
    ({"path": "/_matrix/federation/v1/state/!c:x", "txn_id": None}, b"", ["!c:x"]),
    ({"path": "/v1/make_join/%21c%3Ax/@u:x"}, b"", ["!c:x"]),
]


@pytest.mark.parametrize(
    ("path", "txn_id"),
    [
        ("/_matrix/federation/v1/send/a%2Fb", "a/b"),
        ("/_matrix/federation/v1/send/a/", "a"),
        ("/_matrix/federation/v1/send/", None),
        ("/_matrix/federation/v1/send/a/b", None),
        ("/_matrix/federation/v2/invite/a", None),
    ],
)
def test_the_transaction_of_a_refused_request(path: str, txn_id: str | None) -> None:
    """A request that is refused early has the ID of its path, and is found by it."""
    record = recorded(exchange(path=path, txn_id=None, status=401))
    [entry] = record.find()
    assert entry.txn_id == txn_id
    assert view(entry).txn_id == (msgspec.UNSET if txn_id is None else txn_id)
    found = list(record.find(Match(txn_id="a/b")))
    assert found == ([entry] if txn_id == "a/b" else [])


@pytest.mark.parametrize(("members", "body", "rooms"), ROOMS)
def test_the_rooms_of_an_exchange(
    members: dict[str, Any], body: bytes, rooms: Sequence[str]
) -> None:
    """A request is about the room of its path, or the rooms of its PDUs."""
    [entry] = recorded(exchange(body, **members)).find()
    assert list(entry.rooms) == list(rooms)


def test_an_enormous_transaction_names_so_many_rooms() -> None:
    """What is kept beside a body is bounded."""
    pdus = ",".join(f'{{"room_id":"!{n}:x"}}' for n in range(1000))
    [entry] = recorded(exchange(f'{{"pdus":[{pdus}]}}'.encode())).find()
    assert len(entry.rooms) == 200

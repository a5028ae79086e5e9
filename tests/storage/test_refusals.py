"""Refused requests in the store: in order, bounded in number, removed by age."""

import pytest
from msgspec.structs import asdict

from homeserver.storage import refusals
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.refusals import RecordedRefusal, Refusal, RefusalStore
from homeserver.storage.retention import STEP, RetentionStore
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B
from tests.support.our_names import OUR_NAME


def refusal(number: int, origin: str | None = "a.example") -> Refusal:
    """One, as old as its number is small."""
    return Refusal(
        refused_ts=number * 1000,
        address="192.0.2.1",
        origin=origin,
        proven=False,
        method="PUT",
        path=f"/\u00e9{number}",
        status=401,
        errcode="M_UNAUTHORIZED",
        error="\u00e9",
        reason="bad_signature",
    )


def ids(store: RefusalStore, **filters: object) -> list[object]:
    """The IDs of those that are listed."""
    chosen = {"after": 0, "origin": None, "limit": 99_999} | filters
    listed = result_of(store.after(**chosen))  # type: ignore[arg-type]
    return [each.id for each in listed]


def test_listed(database: ImmediateDatabase) -> None:
    """They are listed as they were recorded, by ID, origin and number."""
    store = RefusalStore(database, OUR_NAME)
    assert ids(store) == []
    first = [refusal(1), refusal(2, "b.example")]
    result_of(store.record(first))
    result_of(store.record([refusal(3, None)]))
    assert result_of(store.after(0, None, 9)) == [
        RecordedRefusal(id=own_id, **asdict(each))
        for own_id, each in enumerate([*first, refusal(3, None)], 1)
    ]
    assert ids(store, after=1) == [2, 3]
    assert ids(store, limit=2) == [1, 2]
    assert ids(store, origin=A) == [1]
    assert ids(store, origin=B) == [2]
    assert ids(store, origin=B, after=2) == []


def test_bounded(database: ImmediateDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so many, the last are kept, and no ID is given twice."""
    monkeypatch.setattr(refusals, "MAX_ROWS", 5)
    store = RefusalStore(database, OUR_NAME)
    for number in range(3):
        result_of(store.record([refusal(number), refusal(number)]))
    assert ids(store) == [2, 3, 4, 5, 6]
    result_of(store.record([refusal(9)] * 7))
    assert ids(store) == [9, 10, 11, 12, 13]


def test_pruned(database: ImmediateDatabase) -> None:
    """Those of so long ago are removed, some in each step; IDs go on."""
    store = RefusalStore(database, OUR_NAME)
    retention = RetentionStore(database, lambda _: 1_000_000)
    result_of(store.record([refusal(number) for number in range(STEP + 10)]))
    prune = retention.prune_refusals
    assert result_of(prune(1001.0)).count == 0
    assert result_of(prune(1000.0 - STEP)).count == STEP
    assert result_of(prune(1000.0 - STEP)).count == 1
    assert result_of(prune(1000.0 - STEP)).count == 0
    assert ids(store) == list(range(STEP + 2, STEP + 11))
    assert result_of(prune(0.0)).count == 9
    result_of(store.record([refusal(0)]))
    assert ids(store) == [STEP + 11]

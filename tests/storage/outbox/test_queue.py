"""The outbound queue: in order, cut once, the same until something comes of it."""

from collections.abc import Sequence

import pytest

from homeserver.protocol.canonical_json import Json, as_list, parse_object
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.transactions import MAX_TRANSACTION_BYTES
from tests.support.coroutines import result_of
from tests.support.endpoint_store import NOW, US, A, B, C, Endpoint, StoreTime, numbered
from tests.support.tables import cases

HOUR = 3600.0


def test_transaction(own: Endpoint) -> None:
    """What is owed is a transaction of all entries, in order, as canonical JSON."""
    first = own.add_entry(A, [numbered(2), numbered(1)], [{"z": "ä", "a": 1.5}])
    own.add_entry(A, [numbered(3)], [numbered(4)])
    [pending] = own.lease()
    assert (pending.destination, pending.txn_id) == (A, f"{NOW}-{first}")
    assert pending.body == (
        b'{"edus":[{"a":1.5,"z":"\xc3\xa4"},{"number":4}],'
        b'"origin":"us.example","origin_server_ts":1600000000000,'
        b'"pdus":[{"number":2},{"number":1},{"number":3}]}'
    )
    assert parse_object(pending.body)["origin"] == US.name


def test_a_transaction_stays_the_same(own: Endpoint, time: StoreTime) -> None:
    """Whatever is queued meanwhile, ID and bytes are those that were cut first."""
    own.add(A, 1)
    [pending] = own.lease()
    for number in range(3):
        own.add(A, number)
        own.fail(pending, lambda _: 1.0)
        time.advance(1)
        assert own.lease() == [pending]


def test_ids_differ_within_a_millisecond(own: Endpoint) -> None:
    """Two transactions of the same time have different IDs."""
    ids = set()
    for number in range(3):
        own.add(A, number)
        [pending] = own.lease()
        own.deliver(pending)
        ids.add(pending.txn_id)
    assert len(ids) == 3


def test_names_are_compared_byte_for_byte(own: Endpoint) -> None:
    """What is owed to one name is not owed to another way of writing it."""
    own.add(A, 1)
    own.add(ServerName.parse("A.example"), 2)
    assert len(own.lease()) == 2


STATE: Json = {
    "state": "queued",
    "txn_id": None,
    "attempts": 0,
    "next_attempt_ts": None,
    "error": None,
    "reply": None,
    "remarks": [],
    "dropped_ts": None,
    "dropped_by": None,
    "connection": None,
}
"""Of an entry that nothing has happened to."""


def test_state_of_what_waits(own: Endpoint) -> None:
    """An entry that is in no transaction yet is queued."""
    entry = own.add(A, 1)
    assert own.state(A, entry) == STATE | {"id": entry}


def test_state_of_what_is_sent(own: Endpoint) -> None:
    """The entries of the transaction that is in flight are being sent, no others."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    following = own.add(A, 2)
    state = own.state(A, entry)
    assert (state["state"], state["txn_id"]) == ("sending", pending.txn_id)
    assert own.state(A, following)["state"] == "queued"


def test_state_after_failures(own: Endpoint, time: StoreTime) -> None:
    """An entry is queued until delivered, and tells of the last attempt."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    own.fail(pending, lambda _: 1.0, why="first")
    time.advance(1)
    own.lease()
    own.fail(pending, lambda _: 1.0, why="second")
    assert own.state(A, entry) == STATE | {
        "id": entry,
        "txn_id": pending.txn_id,
        "attempts": 2,
        "next_attempt_ts": NOW + 2000,
        "error": "second",
    }


def test_state_after_delivery(own: Endpoint, time: StoreTime) -> None:
    """All entries of a transaction are delivered with it."""
    entries = [own.add(A, 1), own.add(A, 2)]
    [pending] = own.lease()
    own.fail(pending, lambda _: 1.0)
    time.advance(1)
    own.lease()
    reply: Json = {"pdus": {"$a": {"error": "ä"}}}
    own.deliver(pending, reply)
    for entry in entries:
        assert own.state(A, entry) == STATE | {
            "id": entry,
            "state": "delivered",
            "txn_id": pending.txn_id,
            "attempts": 2,
            "reply": reply,
            "connection": {"address": "::1"},
        }


def test_state_after_refusal(own: Endpoint) -> None:
    """An entry that was rejected tells why, and what the answer was."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    own.reject(pending)
    assert own.state(A, entry) == STATE | {
        "id": entry,
        "state": "rejected",
        "txn_id": pending.txn_id,
        "attempts": 1,
        "error": "never",
        "reply": {"error": "never"},
    }


def test_state_is_still_told(own: Endpoint) -> None:
    """What was delivered is so for ever, whatever becomes of what comes later."""
    delivered = own.add(A, 1)
    [pending] = own.lease()
    own.deliver(pending)
    before = own.state(A, delivered)
    waiting = own.add(A, 2)
    [pending] = own.lease()
    own.fail(pending)
    assert own.state(A, delivered) == before
    assert own.state(A, waiting)["state"] == "queued"


def test_a_reply_that_is_none(own: Endpoint) -> None:
    """What was answered with something else than an object is delivered too."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    own.deliver(pending, None)
    state = own.state(A, entry)
    assert (state["state"], state["reply"]) == ("delivered", None)


def test_state_of_another_destination(own: Endpoint) -> None:
    """An ID is an entry of its own destination only."""
    entry = own.add(A, 1)
    assert result_of(own.queue.state(B, entry)) is None
    assert result_of(own.queue.state(A, entry + 1)) is None


def test_summary(own: Endpoint, time: StoreTime) -> None:
    """A destination's summary is how much it is owed, and how it fails."""
    assert own.find_summary(A) is None
    own.add(B, 1)
    assert own.find_summary(A) is None
    own.add(A, 1)
    own.add(A, 2)
    expected: Json = {
        "queued": 2,
        "oldest_id": 2,
        "failures": 0,
        "next_attempt_ts": None,
        "last_error": None,
        "rejected": 0,
        "dropped": 0,
    }
    assert own.summary(A) == expected
    _, pending = own.lease()
    own.add(A, 3)
    own.fail(pending, lambda _: 2.0)
    failing: Json = {"queued": 3, "failures": 1, "last_error": "no"}
    assert own.summary(A) == {
        **expected,
        **failing,
        "next_attempt_ts": NOW + 2000,
    }
    time.advance(2)
    [pending] = own.lease(serving=[B])
    assert own.summary(A) == {**expected, **failing}
    own.deliver(pending)
    assert own.summary(A) == {**expected, "queued": 1, "oldest_id": 4}
    [pending] = own.lease(serving=[B])
    own.deliver(pending)
    assert own.find_summary(A) is None


def test_what_was_delivered_takes_no_room(own: Endpoint) -> None:
    """PDUs and EDUs are kept once until their delivery, and not after it."""
    own.add(A, 1)
    own.add(B, 2)
    first, second = own.lease()
    own.add(C, 3)
    own.deliver(first)
    assert own.rows("SELECT pdus, edus FROM outbound_entries ORDER BY id") == [
        ("", ""),
        ("", ""),
        ('[{"number":3}]', "[]"),
    ]
    sizes = own.rows("SELECT LENGTH(body) FROM outbound_transactions ORDER BY 1")
    assert sizes == [(0,), (len(second.body),)]


def add_ephemeral(own: Endpoint, count: int) -> int:
    """Queue EDUs that mean nothing after a while."""
    edus: list[Json] = [{"edu_type": "m.typing", "content": {}}] * count
    return own.add_entry(A, [], edus, is_ephemeral=True)


def test_stale_edus_are_dropped(own: Endpoint, time: StoreTime) -> None:
    """What was ephemeral is dropped after an hour, told of and counted."""
    blocking = own.add(A, 1)
    [pending] = own.lease()
    stale = [add_ephemeral(own, 2), add_ephemeral(own, 3)]
    kept = own.add_entry(A, [], [numbered(1)])
    time.advance(1)
    fresh = add_ephemeral(own, 1)
    own.fail(pending, lambda _: 0.0)
    time.advance(HOUR - 1)
    assert own.lease() == [pending]
    own.deliver(pending)
    [pending] = own.lease()
    assert len(as_list(parse_object(pending.body)["edus"], "EDUs")) == 2
    assert [own.state(A, each)["state"] for each in stale] == ["dropped"] * 2
    states = [own.state(A, each)["state"] for each in (blocking, kept, fresh)]
    assert states == ["delivered", "sending", "sending"]
    assert (own.summary(A)["queued"], own.summary(A)["dropped"]) == (2, 2)
    own.deliver(pending)
    assert (own.summary(A)["queued"], own.summary(A)["dropped"]) == (0, 2)


def test_nothing_but_stale_edus(own: Endpoint, time: StoreTime) -> None:
    """Where all of a queue is stale, nothing is sent, and nothing is owed."""
    entry = add_ephemeral(own, 1)
    time.advance(HOUR)
    assert own.lease() == []
    assert own.wait() is None
    assert own.state(A, entry)["state"] == "dropped"
    own.add(A, 1)
    assert len(own.lease()) == 1


def test_stale_edus_that_were_cut(own: Endpoint, time: StoreTime) -> None:
    """A transaction that was tried keeps its bytes, whatever they mean by now."""
    entry = add_ephemeral(own, 1)
    [pending] = own.lease()
    own.fail(pending, lambda _: 0.0)
    time.advance(2 * HOUR)
    assert own.lease() == [pending]
    own.deliver(pending)
    assert own.state(A, entry)["state"] == "delivered"


def test_many_stale_edus(
    own: Endpoint, time: StoreTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are dropped some at a time, and then the others go."""
    monkeypatch.setattr("homeserver.storage.outbox.batching._MAX_DROPPED", 50)
    for _ in range(60):
        add_ephemeral(own, 1)
    own.add(A, 1)
    time.advance(HOUR)
    assert own.wait() == 0.001
    assert own.summary(A)["dropped"] == 50
    time.advance(0.001)
    [pending] = own.lease()
    assert parse_object(pending.body)["pdus"] == [numbered(1)]
    assert (own.summary(A)["queued"], own.summary(A)["dropped"]) == (1, 60)


# (name, PDUs and EDUs of each entry, how many entries each transaction takes)
CUTS: list[tuple[str, Sequence[tuple[int, int]], list[int]]] = [
    ("one", [(1, 1)], [1]),
    ("several", [(1, 1), (2, 0), (0, 3)], [3]),
    ("50 PDUs in one", [(50, 0)], [1]),
    ("50 PDUs in two", [(20, 0), (30, 0)], [2]),
    ("51 PDUs in two", [(20, 0), (31, 0)], [1, 1]),
    ("51 PDUs one by one", [(1, 0)] * 51, [50, 1]),
    ("100 EDUs in two", [(0, 60), (0, 40)], [2]),
    ("101 EDUs in two", [(0, 60), (0, 41)], [1, 1]),
    ("101 EDUs one by one", [(0, 1)] * 101, [100, 1]),
    ("50 PDUs and 100 EDUs one by one", [(1, 0)] * 50 + [(0, 1)] * 101, [150, 1]),
    ("what fits does not overtake", [(30, 0), (30, 0), (1, 0)], [1, 2]),
    ("two full ones", [(50, 100), (50, 100)], [1, 1]),
    ("of nothing", [(0, 0)] * 151, [150, 1]),
]


def drain(own: Endpoint) -> list[Json]:
    """The bodies of all transactions that are owed, each delivered."""
    bodies = []
    while claimed := own.lease():
        for pending in claimed:
            bodies.append(parse_object(pending.body))
            own.deliver(pending)
    return bodies


@cases("entries expected", CUTS)
def test_cut(
    own: Endpoint, entries: Sequence[tuple[int, int]], expected: list[int]
) -> None:
    """A transaction takes whole entries, in order, as many as its limits allow."""
    for number, (pdus, edus) in enumerate(entries):
        item = numbered(number)
        own.add_entry(A, [item] * pdus, [item] * edus)
    bodies = drain(own)
    left = list(enumerate(entries))
    for body, count in zip(bodies, expected, strict=True):
        taken, left = left[:count], left[count:]
        assert body["pdus"] == [numbered(n) for n, (p, _) in taken for _ in range(p)]
        assert body["edus"] == [numbered(n) for n, (_, e) in taken for _ in range(e)]
    assert left == []


@pytest.mark.parametrize("character", ["a", "€"])
def test_cut_by_bytes(own: Endpoint, character: str) -> None:
    """A transaction is no longer than receivers take, in bytes as they are sent."""
    third = MAX_TRANSACTION_BYTES // 3 // len(character.encode())
    for _ in range(4):
        own.add_entry(A, [], [{"text": character * third}])
    assert [len(as_list(body["edus"], "EDUs")) for body in drain(own)] == [2, 2]


def test_what_does_not_fit_is_not_read(own: Endpoint) -> None:
    """Of a queue of large entries, no more is read than can be sent."""
    large: Json = {"text": "x" * (MAX_TRANSACTION_BYTES * 2 // 3)}
    own.add_entry(A, [], [large])
    second = own.add_entry(A, [], [large])
    own.rows(
        f"UPDATE outbound_entries SET edus = '{{' WHERE id = {second} RETURNING id"
    )
    assert len(own.lease()) == 1

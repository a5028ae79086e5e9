"""The outbound queue: in order, built once, the same until something comes of it."""

from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.identifiers import ServerName
from tests.support.endpoint_store import NOW, US, A, B, C, Endpoint, StoreTime, numbered


def test_what_is_queued_becomes_one_transaction(own: Endpoint) -> None:
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
    """Whatever is queued meanwhile, ID and bytes are those that were built first."""
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

"""What is recorded of a transaction, and replied to it.

A transaction is recorded whole, with what was proven of its origin, or it is refused
and nothing of it is recorded.
"""

import sqlite3

import pytest
from twisted.trial.unittest import SynchronousTestCase

from homeserver.inbound.authentication import ProvenOrigin
from homeserver.net.cause import OURSELVES
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import BadJson, InvalidParam
from homeserver.protocol.events.event import event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.remarks import Remark
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.coroutines import result_of
from tests.support.inbox import EDU, NAMED, Inbox, origin
from tests.support.memory_database import FailingDatabase, MemoryDatabase
from tests.support.pdus import create, message
from tests.support.postgres_server import PostgresDatabase
from tests.support.signed_requests import THEM


def test_remarks() -> None:
    """What the transaction lacks, and what its head has, is remarked."""
    inbox = Inbox()
    odd = Remark("no_sni", "no name")
    proven = ProvenOrigin(THEM.server_name, THEM.key.key_id, remarks=[odd])
    result_of(inbox.receiver.receive(proven, "1", {"pdus": []}, OURSELVES))
    [transaction] = inbox.transactions
    assert transaction["remarks"] == [
        {"code": "no_sni", "text": "no name"},
        {"code": "no_origin", "text": "the transaction has no `origin`"},
        {
            "code": "no_origin_server_ts",
            "text": "the transaction has no `origin_server_ts`",
        },
    ]


def test_transaction_is_recorded() -> None:
    """A transaction is recorded with its origin, its time and what proved it."""
    inbox = Inbox()
    pdu = message()
    proven = ProvenOrigin(THEM.server_name, THEM.key.key_id, "ab" * 32)
    inbox.clock.advance(0.25)
    result_of(
        inbox.receiver.receive(
            proven, "t/1", {**NAMED, "pdus": [pdu], "edus": [EDU]}, OURSELVES
        )
    )
    own_id = event_id(pdu, ROOM_VERSIONS["12"])
    assert inbox.transactions == [
        {
            "id": 1,
            "origin": "them.example",
            "txn_id": "t/1",
            "received_ts": 1_800_000_000_250,
            "verified_by": {
                "key_id": "ed25519:t_1",
                "client_certificate": "ab" * 32,
            },
            "pdus": [
                {
                    "event_id": own_id,
                    "room_version": "11",
                    "room_version_source": "default",
                    "verdict": "accepted",
                    "event": pdu,
                }
            ],
            "edus": [EDU],
            "problems": [],
            "remarks": [],
        }
    ]


def test_what_the_body_says_of_itself() -> None:
    """Origin and ID are those that were proven, whatever else the body says."""
    inbox = Inbox()
    content: Json = {
        "pdus": [],
        "origin": "others.example:8449",
        "transaction_id": "2",
        "origin_server_ts": 5,
    }
    result_of(inbox.receiver.receive(origin(), "1", content, OURSELVES))
    [recorded] = inbox.transactions
    assert (recorded["origin"], recorded["txn_id"]) == ("them.example", "1")
    assert recorded["received_ts"] == 1_800_000_000_000
    assert recorded["problems"] == [
        "`origin` is 'others.example:8449', but them.example signed the request"
    ]


@pytest.mark.parametrize("claimed", [None, [], {}, 5, "", "them.example"])
def test_any_origin_in_the_body(claimed: object) -> None:
    """Whatever a body says of its origin is told, unless it is right or nothing."""
    inbox = Inbox()
    result_of(
        inbox.receiver.receive(
            origin(), "1", {"pdus": [], "origin": claimed}, OURSELVES
        )
    )
    [recorded] = inbox.transactions
    assert bool(recorded["problems"]) == (claimed not in [None, "them.example"])


def test_empty_transaction() -> None:
    """A transaction with nothing in it is recorded like any other."""
    inbox = Inbox()
    assert inbox.take("1") == {"pdus": {}}
    assert len(inbox.transactions) == 1


def test_reply_says_what_became_of_each_pdu() -> None:
    """The reply has the event ID of each PDU, and of a rejected one the reason."""
    inbox = Inbox()
    good, bad = message(), message(depth=4) | {"signatures": {}}
    assert inbox.take("1", good, bad) == {
        "pdus": {
            event_id(good, ROOM_VERSIONS["12"]): {},
            event_id(bad, ROOM_VERSIONS["12"]): {"error": inbox.pdus[1]["verdict"]},
        }
    }


IDS: list[tuple[str, bool]] = [
    ("", False),
    ("x", True),
    ("x" * 1000, True),
    ("\u00e9" * 1000, True),
    ("\u00e9" * 1001, False),
    ("a/b c%2F\u00e4", True),
    ("a\0", False),
]


@pytest.mark.parametrize(("txn_id", "is_good"), IDS)
def test_transaction_ids(txn_id: str, is_good: bool) -> None:  # noqa: FBT001 - a row
    """A transaction's ID is any text of up to 2,000 bytes but for NULs."""
    inbox = Inbox()
    if is_good:
        inbox.take(txn_id)
        assert [each["txn_id"] for each in inbox.transactions] == [txn_id]
    else:
        with pytest.raises(InvalidParam):
            inbox.take(txn_id)
        assert inbox.transactions == []


TOO_MUCH: list[tuple[str, Json]] = [
    ("51 PDUs", {"pdus": [message()] * 51}),
    ("101 EDUs", {"pdus": [], "edus": [EDU] * 101}),
    ("no `pdus`", {"edus": [EDU]}),
]


@pytest.mark.parametrize(
    "content", [row[1] for row in TOO_MUCH], ids=[row[0] for row in TOO_MUCH]
)
def test_bad_transaction(content: Json) -> None:
    """Of a transaction that is refused, nothing is recorded."""
    inbox = Inbox()
    with pytest.raises(BadJson):
        result_of(inbox.receiver.receive(origin(), "1", content, OURSELVES))
    assert inbox.transactions == []


class StoreTests(SynchronousTestCase):
    """A store that fails."""

    def test_full_store(self) -> None:
        """What could not be recorded is not replied, and is new the next time."""
        database = FailingDatabase()
        inbox = Inbox(database=database)
        content: Json = {"pdus": [create("6")], "edus": [EDU]}
        database.is_full = True
        self.failureResultOf(inbox.begin("1", content), StoreUnavailable)
        self.assertEqual(inbox.transactions, [])
        database.is_full = False
        self.successResultOf(inbox.begin("1", content))
        self.assertEqual(len(inbox.transactions), 1)

    def test_failure_within_the_commit(self) -> None:
        """A transaction is recorded whole or not at all."""
        database = MemoryDatabase()
        inbox = Inbox(database=database)
        database.connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON rooms"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        begun = inbox.begin("1", {"pdus": [message(), create("6")]})
        self.failureResultOf(begun, sqlite3.IntegrityError)
        self.assertEqual(inbox.transactions, [])


NUL = "a\0:them.example"

WITH_NUL: list[Json] = [
    message(room_id=f"!{NUL}"),
    message(sender=f"@{NUL}", state_key=NUL, type=NUL, redacts=NUL, content={NUL: NUL}),
    message("1", event_id=f"${NUL}"),
    create("11", room_id=f"!{NUL}", content={"room_version": NUL}),
    {"type": "m.room.create", "room_id": NUL, "signatures": {NUL: {NUL: NUL}}},
]


def test_nuls(postgres_database: PostgresDatabase) -> None:
    """What has NULs in it is recorded, though PostgreSQL has none in its texts."""
    postgres_database.empty()
    inbox = Inbox(database=postgres_database)
    edu: Json = {"edu_type": NUL, "content": {NUL: NUL}}
    content: Json = {"pdus": WITH_NUL, "edus": [edu], "origin": NUL}
    result_of(inbox.receiver.receive(origin(), "1", content, OURSELVES))
    assert [pdu["event"] for pdu in inbox.pdus] == WITH_NUL

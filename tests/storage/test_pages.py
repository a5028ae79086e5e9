"""How received transactions are listed: in order, by origin, a page at a time."""

from homeserver.protocol.canonical_json import Json, as_list, as_object, encode
from homeserver.protocol.events.version_inference import VersionSource
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.protocol.remarks import Remark
from homeserver.storage import pages
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.received import ReceivedTransaction
from tests.support.received_stores import (
    A,
    B,
    InPostgres,
    ReceivedStoreTestCase,
    transaction,
)


class ReceivedPagesTests(ReceivedStoreTestCase):
    """The list of received transactions, in SQLite."""

    def test_all_that_was_recorded_is_listed(self) -> None:
        """A transaction is listed with all that was recorded of it."""
        event: Json = {
            "type": "m.x",
            "content": {"ä\0": [1.5, 2**53, None, "\U0001f600"]},
        }
        edu: Json = {"edu_type": "m.y", "content": {"a": -1.0}}
        self.record(
            ReceivedTransaction(
                A,
                "1/ä",
                1234567890123,
                "ed25519:a_1",
                "0a" * 32,
                [
                    JudgedPdu(
                        EventId("$b"),
                        "12",
                        "accepted",
                        encode(event),
                        VersionSource.EVENT_FORMAT,
                    ),
                    JudgedPdu(EventId("$a"), "1", "redacted: content hash", b"{}"),
                    JudgedPdu(None, None, "rejected: no", b'{"a":1}'),
                ],
                [edu, {}],
                ["not so"],
                b"{}",
                remarks=[Remark("other", "how odd")],
            )
        )
        self.assertEqual(
            self.after(),
            [
                {
                    "id": 1,
                    "origin": "a.example",
                    "txn_id": "1/ä",
                    "received_ts": 1234567890123,
                    "verified_by": {
                        "key_id": "ed25519:a_1",
                        "client_certificate": "0a" * 32,
                    },
                    "pdus": [
                        {
                            "event_id": "$b",
                            "room_version": "12",
                            "room_version_source": "event format",
                            "verdict": "accepted",
                            "event": event,
                        },
                        {
                            "event_id": "$a",
                            "room_version": "1",
                            "room_version_source": None,
                            "verdict": "redacted: content hash",
                            "event": {},
                        },
                        {
                            "event_id": None,
                            "room_version": None,
                            "room_version_source": None,
                            "verdict": "rejected: no",
                            "event": {"a": 1},
                        },
                    ],
                    "edus": [edu, {}],
                    "problems": ["not so"],
                    "remarks": [{"code": "other", "text": "how odd"}],
                }
            ],
        )

    def test_each_has_its_own_pdus(self) -> None:
        """A PDU is listed with the transaction that it came in."""
        for txn_id in "12":
            pdu = JudgedPdu(None, "12", "accepted", encode({"of": txn_id}))
            self.record(transaction(A, txn_id, [pdu]))
        for listed in self.after():
            [found] = as_list(listed["pdus"], "PDUs")
            event = as_object(found, "a PDU")["event"]
            self.assertEqual(event, {"of": listed["txn_id"]})

    def test_oldest_first(self) -> None:
        """Transactions are listed in the order in which they were recorded."""
        self.record(*(transaction(A, txn_id) for txn_id in "cab"))
        self.assertEqual(self.names(), ["c", "a", "b"])
        second = self.after()[1]["id"]
        assert isinstance(second, int)
        self.assertEqual(self.names(after=second), ["b"])
        self.assertEqual(self.names(after=second - 1), ["a", "b"])
        self.assertEqual(self.names(limit=2), ["c", "a"])
        self.assertEqual(self.names(limit=0), [])

    def test_origin(self) -> None:
        """Who asks for one origin gets its transactions only, up to the limit."""
        self.record(
            transaction(A, "1"),
            transaction(B, "2"),
            transaction(A, "3"),
            transaction(B, "4"),
        )
        self.assertEqual(self.names(), ["1", "2", "3", "4"])
        self.assertEqual(self.names(origin=B), ["2", "4"])
        self.assertEqual(self.names(origin=B, limit=1), ["2"])
        self.assertEqual(self.names(origin=B, after=2), ["4"])
        self.assertEqual(self.names(origin=ServerName.parse("c.example")), [])

    def test_waiting_for_an_origin(self) -> None:
        """Who waits for one origin is not content with another's transaction."""
        waiting = self.wait(B)
        self.record(transaction(A, "1"))
        self.assertNoResult(waiting)
        self.record(transaction(B, "2"))
        [listed] = self.successResultOf(waiting)
        self.assertEqual(listed.txn_id, "2")

    def test_a_page_is_bounded(self) -> None:
        """Large transactions come one at a time, and none is left out."""
        self.patch(pages, "MAX_PAGE_LENGTH", 1000)
        large = JudgedPdu(None, "12", "accepted", encode({"x": "y" * 600}))
        for number in range(3):
            self.record(transaction(A, str(number), [large], [{"x": "y" * 600}]))
        self.record(transaction(A, "3"), transaction(A, "4"))
        self.assertEqual(self.names(), ["0"])
        self.assertEqual(self.names(after=1), ["1"])
        self.assertEqual(self.names(after=3), ["3", "4"])


class PostgresReceivedPagesTests(InPostgres, ReceivedPagesTests):
    """The same, in PostgreSQL."""

"""What is known of events that were received: who signed them, and their rooms."""

from msgspec import structs

from homeserver.protocol.canonical_json import encode
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, RoomId
from homeserver.storage.judged_pdus import JudgedPdu
from tests.support.pdus import message
from tests.support.received_stores import (
    OTHER_ROOM,
    ROOM,
    A,
    B,
    InPostgres,
    ReceivedStoreTestCase,
    create,
    transaction,
)


class ReceivedEventsTests(ReceivedStoreTestCase):
    """Signers and room versions, in SQLite."""

    def test_signers(self) -> None:
        """Of an event of a room version, the servers are known that had signed it."""
        signed = JudgedPdu(
            EventId("$a"), "12", "accepted", b"{}", signers=frozenset({A})
        )
        pdus = [
            signed,
            structs.replace(signed, room_version="11", signers=frozenset({A, B})),
            structs.replace(
                signed, event_id=EventId("$b"), verdict="redacted: content hash"
            ),
            structs.replace(signed, event_id=EventId("$c"), signers=frozenset()),
            structs.replace(signed, event_id=None),
        ]
        self.record(transaction(A, "1", pdus))
        self.record(transaction(B, "1", pdus))
        self.record(
            transaction(B, "2", [structs.replace(signed, signers=frozenset({B}))])
        )
        asked = [
            (EventId(event_id), version, 5)
            for event_id in ("$a", "$b", "$c", "$d")
            for version in ("11", "12")
        ]
        self.assertEqual(
            self.done(self.store.signers(asked)),
            {("$a", "12", 5): {A, B}, ("$a", "11", 5): {A, B}, ("$b", "12", 5): {A}},
        )
        self.assertEqual(self.done(self.store.signers(asked[4:])), {})

    def test_signers_of_events_with_times(self) -> None:
        """They are found by the time of the event, whatever integer that is."""
        times = [0, 2, 2**53, 2**63, 2**64 - 1, -(2**63), 1 - 2**64]
        events = [
            Event.parse(message("5", origin_server_ts=each), ROOM_VERSIONS["5"])
            for each in times
        ]
        pdus = [
            JudgedPdu(
                each.event_id,
                "5",
                "accepted",
                each.encoded,
                signers=frozenset({A}),
                parsed=each,
            )
            for each in events
        ]
        self.record(transaction(A, "1", pdus))
        asked = [(each.event_id, "5", each.origin_server_ts) for each in events]
        found = self.done(self.store.signers(asked))
        self.assertEqual(found, {each: {A} for each in asked})
        others = [(event_id, "5", 7) for event_id, _, _ in asked]
        self.assertEqual(self.done(self.store.signers(others)), {})

    def test_rooms(self) -> None:
        """A room has the version of the accepted event that founded it."""
        self.record(transaction(A, "1", [create(ROOM, "11"), create(OTHER_ROOM, "1")]))
        unknown = RoomId("!unknown:a.example")
        self.assertEqual(
            self.room_versions(ROOM, OTHER_ROOM, unknown), {ROOM: "11", OTHER_ROOM: "1"}
        )
        self.assertEqual(self.room_versions(OTHER_ROOM), {OTHER_ROOM: "1"})
        self.assertEqual(self.room_versions(), {})

    def test_a_room_is_founded_once(self) -> None:
        """A later create event does not change the version of a room."""
        self.record(
            transaction(A, "1", [create(ROOM, "11")]),
            transaction(A, "2", [create(ROOM, "12")]),
        )
        self.assertEqual(self.room_versions(ROOM), {ROOM: "11"})

    def test_other_events_found_no_room(self) -> None:
        """An event that creates no room leaves no room version."""
        message = JudgedPdu(None, "12", "accepted", encode({"room_id": ROOM}))
        self.record(transaction(A, "1", [message]))
        self.assertEqual(self.room_versions(ROOM), {})


class PostgresReceivedEventsTests(InPostgres, ReceivedEventsTests):
    """The same, in PostgreSQL."""

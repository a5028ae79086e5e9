"""A transaction ID that comes again, with the same content or with other content.

The same content gets the same reply. Of other content the new items are recorded, and
the reply covers all PDUs of the request.
"""

from collections.abc import Sequence

import pytest
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config.values import Events
from homeserver.inbound import transactions
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.inbound.turns import Turns
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json, as_list, as_object, parse_object
from homeserver.protocol.errors import InvalidParam, ProtocolError
from homeserver.protocol.events.event import event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.immediate import ImmediateDatabase
from tests.support.inbox import EDU, Inbox, edu
from tests.support.memory_database import MemoryDatabase
from tests.support.pdus import message
from tests.support.postgres_server import PostgresDatabase
from tests.support.signed_requests import (
    OTHERS,
    THEM,
    KnownKeys,
    Peer,
    SlowKeys,
    signing_key,
)


class RepeatedTests(SynchronousTestCase):
    """The same transaction again."""

    def test_same_reply(self) -> None:
        """A transaction that is repeated gets the same bytes, and nothing is done."""
        inbox = Inbox()
        pdus = [message(), message(depth=-1)]
        first = self.successResultOf(inbox.begin("1", {"pdus": pdus}))
        assert isinstance(inbox.keyring, KnownKeys)
        inbox.keyring.asked.clear()
        again = self.successResultOf(inbox.begin("1", {"pdus": pdus}))
        self.assertEqual(again, first)
        self.assertEqual(len(inbox.transactions), 1)
        self.assertEqual(inbox.keyring.asked, [])

    def test_same_id_of_another_origin(self) -> None:
        """Each origin has IDs of its own."""
        inbox = Inbox()
        self.successResultOf(inbox.begin("1", {"pdus": [message()]}))
        reply = self.successResultOf(inbox.begin("1", {"pdus": []}, OTHERS))
        self.assertEqual(reply, b'{"pdus":{}}')
        self.assertEqual(len(inbox.transactions), 2)

    def test_after_a_restart(self) -> None:
        """What was replied is known to the next process too."""
        inbox = Inbox()
        first = self.successResultOf(inbox.begin("1", {"pdus": [message()]}))
        pace = Pace(inbox.clock)
        inbox.receiver = TransactionReceiver(
            inbox.store,
            PduChecker(inbox.store, KnownKeys(), inbox.clock, pace, Events()),
            inbox._note_polled,
            inbox.clock,
            Turns(inbox.clock, pace),
        )
        again = self.successResultOf(inbox.begin("1", {"pdus": [message()]}))
        self.assertEqual(again, first)

    def test_recorded_by_another_process_meanwhile(self) -> None:
        """Where two processes share a store, both give the reply that is in it."""
        database = MemoryDatabase()
        slow, fast = Inbox(SlowKeys(THEM), database), Inbox(None, database)
        late = slow.begin("1", {"pdus": [message()]})
        first = self.successResultOf(fast.begin("1", {"pdus": [message()]}))
        assert isinstance(slow.keyring, SlowKeys)
        slow.keyring.waiting[0].callback(None)
        self.assertEqual(self.successResultOf(late), first)
        self.assertEqual(len(fast.transactions), 1)


def said(*bodies: str) -> list[Json]:
    """Messages that say these."""
    return [message(content={"body": body}) for body in bodies]


class OtherContentTests(SynchronousTestCase):
    """The same transaction ID with other content, as Dendrite sends it."""

    database: ImmediateDatabase

    @pytest.fixture(autouse=True)
    def _open(self) -> None:
        self.database = MemoryDatabase()

    def setUp(self) -> None:
        """Begin with an empty store."""
        self.inbox = Inbox(database=self.database)

    def take(
        self, pdus: Sequence[Json], edus: Sequence[Json] = (), **more: object
    ) -> bytes:
        """Hand over a content of the one transaction; the reply to it."""
        content: Json = {"pdus": list(pdus), "edus": list(edus), **more}
        return self.successResultOf(self.inbox.begin("1", content))

    def recorded(self) -> list[tuple[int, ...]]:
        """How many PDUs, EDUs and remarks each recorded transaction has."""
        return [
            tuple(len(as_list(each[k], k)) for k in ("pdus", "edus", "remarks"))
            for each in self.inbox.transactions
        ]

    def test_more_pdus_than_before(self) -> None:
        """New ones are recorded, all are answered, each content has its own reply."""
        pdus = said("1", "2", "3")
        bad = message(depth=-1)
        ids = [event_id(pdu, ROOM_VERSIONS["11"]) for pdu in pdus]
        replies = [self.take([*pdus[:n], bad], [edu(1)]) for n in (1, 2, 3)]
        for n, reply in enumerate(replies, 1):
            answered = as_object(parse_object(reply)["pdus"], "pdus")
            assert answered.keys() == {*ids[:n]} | set(answered) - {*ids}
            assert [answered[each] for each in ids[:n]] == [{}] * n
        assert self.recorded() == [(2, 1, 0), (1, 0, 1), (1, 0, 1)]
        listed = self.inbox.transactions
        assert [each["txn_id"] for each in listed] == ["1"] * 3
        remark = (
            "the transaction ID was used before with other content; 1 of 3 "
            "PDUs and 0 of 1 EDUs are new"
        )
        assert listed[1]["remarks"] == [{"code": "repeated_id", "text": remark}]
        again = [self.take([*pdus[:n], bad], [edu(1)]) for n in (1, 2, 3)]
        assert again == replies
        assert len(self.recorded()) == 3

    def test_after_a_restart(self) -> None:
        """What is known is known to the next process."""
        first = self.take(said("1"), [edu(1)])
        self.inbox = Inbox(database=self.database)
        second = self.take(said("1", "2"), [edu(1), edu(2)])
        self.inbox = Inbox(database=self.database)
        assert self.take(said("1"), [edu(1)]) == first
        assert self.take(said("1", "2"), [edu(1), edu(2)]) == second
        assert self.recorded() == [(1, 1, 0), (1, 1, 1)]

    def test_nothing_new(self) -> None:
        """A part of what came before is answered, and not recorded again."""
        self.take(said("1", "2"), [edu(1), edu(2)])
        reply = self.take(said("2"), [edu(2)])
        [answered] = as_object(parse_object(reply)["pdus"], "pdus")
        assert answered == event_id(said("2")[0], ROOM_VERSIONS["11"])
        assert self.recorded() == [(2, 2, 0), (0, 0, 1)]

    def test_another_time(self) -> None:
        """What is in the envelope beside PDUs and EDUs makes no other content."""
        first = self.take(said("1"), origin_server_ts=1, origin=str(THEM.server_name))
        assert self.take(said("1"), origin_server_ts=2) == first
        assert self.recorded() == [(1, 0, 0)]

    def test_pdus_that_are_edus(self) -> None:
        """In which list an item stands belongs to the content."""
        self.take([], [EDU, EDU])
        self.take([EDU], [EDU])
        assert self.recorded() == [(0, 2, 0), (1, 0, 1)]

    def test_equal_edus(self) -> None:
        """Of equal EDUs those are new that are more than before."""
        self.take([], [edu(1)])
        self.take([], [edu(1)] * 3)
        assert self.recorded() == [(0, 1, 0), (0, 2, 1)]

    def test_another_copy_of_an_event(self) -> None:
        """A copy of the same ID with other bytes is looked at, and recorded."""
        pdu = message()
        self.take([pdu])
        self.take([pdu | {"unsigned": {"age": 1}}])
        assert self.recorded() == [(1, 0, 0), (1, 0, 1)]

    def test_verdict_of_before(self) -> None:
        """A PDU that is known gets the answer that it had, whatever was learned."""
        stranger = Peer(ServerName.parse("late.example"), signing_key("l_1", b"7"))
        pdus = [message(peer=stranger)]
        first = parse_object(self.take(pdus))
        self.inbox = Inbox(KnownKeys(THEM, stranger), self.database)
        second = parse_object(self.take([*pdus, *said("2")]))
        name = event_id(pdus[0], ROOM_VERSIONS["11"])
        answers = [as_object(each["pdus"], "pdus")[name] for each in (first, second)]
        assert answers[0] == answers[1] != {}
        assert self.recorded() == [(1, 0, 0), (1, 0, 1)]

    def test_polls(self) -> None:
        """A poll for presence is answered once."""
        poll: Json = {
            "edu_type": "m.presence",
            "content": {"poll": ["@b:us.example"]},
        }
        self.take([], [poll])
        self.take(said("1"), [poll])
        assert len(self.inbox.polled) == 1

    def test_nonsense(self) -> None:
        """Other content has to be a transaction."""
        self.take(said("1"))
        contents: list[Json] = [{}, {"pdus": 5}]
        for content in contents:
            self.failureResultOf(self.inbox.begin("1", content), ProtocolError)
        assert self.recorded() == [(1, 0, 0)]

    def test_too_many(self) -> None:
        """An ID has no more than so many contents, and those go on being answered."""
        self.patch(transactions, "MAX_CONTENTS", 3)
        replies = [self.take(said(str(number))) for number in range(3)]
        self.failureResultOf(self.inbox.begin("1", {"pdus": said("3")}), InvalidParam)
        assert [self.take(said(str(number)), []) for number in range(3)] == replies
        assert self.recorded() == [(1, 0, 0), (1, 0, 1), (1, 0, 1)]

    def test_another_process_meanwhile(self) -> None:
        """Of two processes that share a store, the later one knows what is new."""
        slow, fast = Inbox(SlowKeys(THEM), self.database), self.inbox
        late = slow.begin("1", {"pdus": said("1", "2"), "edus": [edu(1), edu(2)]})
        self.take(said("1"), [edu(1)])
        assert isinstance(slow.keyring, SlowKeys)
        while not late.called:
            slow.keyring.waiting.pop(0).callback(None)
        answered = as_object(parse_object(self.successResultOf(late))["pdus"], "pdus")
        assert len(answered) == 2
        assert fast.transactions == slow.transactions
        assert self.recorded() == [(1, 1, 0), (1, 1, 1)]


class PostgresOtherContentTests(OtherContentTests):
    """The same, in PostgreSQL."""

    @pytest.fixture(autouse=True)
    def _open(self, postgres_database: PostgresDatabase) -> None:
        postgres_database.empty()
        self.database = postgres_database

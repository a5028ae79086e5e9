"""A checker of PDUs with a store of its own, and what it recorded."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config.values import Events
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.net.cause import OURSELVES
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.signed_requests import OTHERS, THEM, KnownKeys


class PduCheckerTestCase(SynchronousTestCase):
    """A checker with a store of its own."""

    def setUp(self) -> None:
        """Make the checker, which knows the keys of two servers."""
        self.clock = Clock()
        self.store = ReceivedStore(MemoryDatabase(), OUR_NAME, Changes(self.clock))
        self.keys = KnownKeys(THEM, OTHERS)
        self.recorded = 0
        self.checker = PduChecker(
            self.store, self.keys, self.clock, Pace(self.clock), Events()
        )

    def verdicts(self, *pdus: Json) -> Sequence[JudgedPdu]:
        """The verdicts on PDUs."""
        checking = Deferred.fromCoroutine(
            self.checker.check(pdus, THEM.server_name, OURSELVES)
        )
        return self.successResultOf(checking)

    def record(self, *pdus: Json) -> None:
        """Check PDUs, and record them as one transaction."""
        judged = self.verdicts(*pdus)
        self.recorded += 1
        received = ReceivedTransaction(
            ServerName.parse("x.example"),
            str(self.recorded),
            0,
            "ed25519:x",
            None,
            judged,
            [],
            [],
            b"",
        )
        self.successResultOf(Deferred.fromCoroutine(self.store.record(received)))
        self.keys.asked.clear()

"""Work that shares four slots, and is done when the test says so."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.shares import Shares

Work = Callable[[], Coroutine[Deferred[Any], Any, str]]


TRUSTED = "192.0.2.99"


class SharesCase(SynchronousTestCase):
    """Four slots, and five places to wait for one."""

    least_seconds = 0.0

    def setUp(self) -> None:
        """Begin with nothing under way."""
        self.clock = Clock()
        self.shares = Shares(
            ("things", "things being done"),
            4,
            5,
            self.clock,
            TRUSTED.__eq__,
            self.least_seconds,
        )
        self.asked: list[Deferred[str]] = []
        self.running: dict[str, Deferred[str]] = {}
        """What is being done, by its key, in the order in which it began."""

        self.cut_off: list[str] = []

    def work(self, key: str) -> Work:
        """Something that is done until the test says so."""

        async def work() -> str:
            doing: Deferred[str] = Deferred(lambda _: self.cut_off.append(key))
            self.running[key] = doing
            try:
                return await doing
            finally:
                self.running.pop(key, None)

        return work

    def ask(
        self,
        key: str,
        client: str | None = "192.0.2.1",
        domain: str = "",
        *,
        is_known: bool = False,
    ) -> Deferred[str]:
        """Want something, of a domain of its own where none is given."""
        cause = OURSELVES if client is None else Cause(client)
        claim = self.shares.claim(cause, domain or f"of {key}", is_known=is_known)
        running = self.shares.run(key, claim, self.work(key))
        self.asked.append(Deferred.fromCoroutine(running))
        return self.asked[-1]

    def tearDown(self) -> None:
        """Let what gave way unseen be no error."""
        for each in self.asked:
            each.addErrback(lambda _: None)

    def fill(self, client: str = "192.0.2.1", domain: str = "") -> list[Deferred[str]]:
        """Let all slots be taken, for one client."""
        return [self.ask(f"{n}", client, domain) for n in range(4)]

    def end(self, key: str) -> None:
        """Let something be done."""
        self.running[key].callback(key)

    def others(self) -> list[str]:
        """What is under way but what filled the slots."""
        return [key for key in self.running if not key.isdigit()]

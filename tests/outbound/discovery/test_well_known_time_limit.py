"""The ten seconds that a look-up of a well-known document takes at most."""

from twisted.internet.defer import Deferred

from homeserver.net.cause import Cause
from tests.support.memory_tls_servers import Wire, ok
from tests.support.outbound_stack import GOOD, Names
from tests.support.well_known_websites import (
    DOCUMENT,
    NOT_IN_TIME,
    WellKnownTestCase,
    redirect,
)


class LateNames(Names):
    """A DNS that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Deferred[list[str]] = Deferred()

    async def addresses(self, host: str, cause: Cause) -> list[str]:
        """As `Names`, once the test says so."""
        return await self.found


class TimeTests(WellKnownTestCase):
    """Ten seconds for all of it."""

    def drip(self, wire: Wire, data: bytes, seconds: int) -> None:
        """Let the peer say one byte a second."""
        for byte in data[:seconds]:
            wire.say(bytes([byte]))
            self.net.clock.advance(1)

    def test_nobody_answers(self) -> None:
        """A host that does not answer is not waited for any longer."""
        asked = self.ask()
        [connector] = self.net.clock.connectors
        self.net.clock.advance(9.9)
        self.assertNoResult(asked)
        self.net.clock.tcpClients.clear()
        self.net.clock.advance(0.1)
        assert self.reason(asked) == NOT_IN_TIME
        assert connector.stoppedConnecting

    def test_silent_name_server(self) -> None:
        """The time in which the host's address is looked up counts."""
        names = LateNames()
        self.make_well_known(names)
        asked = self.ask()
        self.net.clock.advance(9.9)
        self.assertNoResult(asked)
        self.net.clock.advance(0.1)
        assert self.reason(asked) == NOT_IN_TIME
        assert self.net.dialled == []

    def test_silent_handshake(self) -> None:
        """The handshake counts."""
        asked = self.ask()
        self.net.clock.advance(5)
        wire = self.net.accept(GOOD, is_silent=True)
        self.net.clock.advance(5)
        assert self.reason(asked) == NOT_IN_TIME
        assert wire.tcp.disconnecting

    def test_drip(self) -> None:
        """A byte a second is no answer, be it of the head or of the body."""
        head, _, body = ok(b" " * 100).partition(b"\r\n\r\n")
        for first, later in ((b"", head), (head + b"\r\n\r\n", body)):
            self.setUp()
            asked = self.ask()
            wire = self.net.accept(GOOD)
            wire.say(first)
            self.drip(wire, later, 9)
            self.assertNoResult(asked)
            self.drip(wire, later, 1)
            assert self.reason(asked) == NOT_IN_TIME
            self.assert_ended(wire)

    def test_drip_over_redirects(self) -> None:
        """The time is for all redirects together."""
        asked = self.ask()
        for number in range(3):
            wire = self.net.accept(GOOD)
            self.net.clock.advance(3)
            wire.say(redirect(f"/{number}"))
        wire = self.net.accept(GOOD)
        self.net.clock.advance(0.9)
        self.assertNoResult(asked)
        self.net.clock.advance(0.1)
        assert self.reason(asked) == NOT_IN_TIME
        self.assert_ended(wire)

    def test_in_time(self) -> None:
        """An answer after nearly ten seconds is one."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        self.net.clock.advance(9.9)
        wire.say(DOCUMENT)
        assert self.found(asked) == "b.test:7"
        self.net.clock.advance(60)
        assert self.net.clock.getDelayedCalls() == []

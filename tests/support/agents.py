"""An agent over a memory reactor, whose requests go where the test says."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from homeserver.net.cause import OURSELVES
from homeserver.net.exchange import Exchange
from homeserver.outbound.agent import OutgoingRequest
from homeserver.outbound.transport.connector import VerifiedConnection
from homeserver.outbound.transport.response import read_body
from homeserver.protocol.identifiers import ServerName
from tests.support.memory_tls_servers import Wire, ok, start
from tests.support.outbound_stack import GOOD, PEER, Stack


class AgentTestCase(SynchronousTestCase):
    """An agent over a reactor in memory."""

    def setUp(self) -> None:
        """Make the agent."""
        self.stack = Stack()
        self.net = self.stack.net
        self.agent = self.stack.agent

    async def exchange(
        self, outgoing: OutgoingRequest, name: ServerName = PEER
    ) -> tuple[IResponse, VerifiedConnection]:
        """Send one request, whose exchange is `told`."""
        self.told = Exchange()
        return await self.agent.send(name, outgoing, OURSELVES, self.told)

    def ask(
        self, target: bytes = b"/1", name: ServerName = PEER
    ) -> Deferred[tuple[IResponse, VerifiedConnection]]:
        """Send a request."""
        return start(self.exchange(OutgoingRequest(b"GET", target, Headers()), name))

    def read(self, asked: Deferred[tuple[IResponse, VerifiedConnection]]) -> bytes:
        """The body of a response that has come."""
        response, _ = self.successResultOf(asked)
        return self.successResultOf(read_body(response, 1000))

    def answered(self, answer: bytes = ok(b"{}")) -> Wire:
        """The wire of a first request, which was answered."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        wire.say(answer)
        self.read(asked)
        wire.flush()
        return wire

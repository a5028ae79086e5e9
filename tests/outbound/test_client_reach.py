"""A connection that is made to a server for itself."""

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.tls.certificate import Certificate
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.client import FederationClient
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.protocol.identifiers import ServerName
from tests.support.manual_agent import KEYS, LINK, PEER, US, Agent
from tests.support.memory_tls_servers import start


class _Reaching(Agent):
    """An agent whose connections are there when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: list[ServerName] = []
        self.given_up = 0
        self.link: Deferred[VerifiedConnection] = Deferred(self._give_up)

    async def reach(self, name: ServerName, cause: Cause) -> VerifiedConnection:
        """As `FederationAgent`."""
        self.reached.append(name)
        return await self.link

    def _give_up(self, link: Deferred[VerifiedConnection]) -> None:
        self.given_up += 1


class ReachTests(SynchronousTestCase):
    """A connection that is made for itself."""

    def setUp(self) -> None:
        """Begin to reach a server."""
        self.clock = Clock()
        self.agent = _Reaching()
        client = FederationClient(
            cast("FederationAgent", self.agent),
            lambda: Identity(US, KEYS, [], cast("Certificate", None)),
            self.clock,
        )
        self.reached = start(client.reach(PEER, OURSELVES))

    def test_link(self) -> None:
        """What the new connection was is told, and nothing is sent."""
        self.agent.link.callback(LINK)
        assert self.successResultOf(self.reached) is LINK
        assert self.agent.reached == [PEER]
        assert self.agent.requests == []
        assert self.clock.getDelayedCalls() == []

    def test_unreachable(self) -> None:
        """Why a server cannot be reached is told as it is."""
        problem = Unreachable(PEER, ["refused"])
        self.agent.link.errback(problem)
        failure = self.failureResultOf(self.reached, Unreachable)
        assert failure.value is problem

    def test_time_limit(self) -> None:
        """After 25 seconds a server cannot be reached, and is not tried on."""
        self.clock.advance(24.9)
        self.assertNoResult(self.reached)
        self.clock.advance(0.1)
        problem = self.failureResultOf(self.reached, Unreachable).value
        assert isinstance(problem, Unreachable)
        assert problem.attempts == ["no answer within 25 seconds"]
        assert problem.reason == "not_verified"
        assert self.agent.given_up == 1

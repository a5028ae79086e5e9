"""A connector over a memory reactor, which tries routes as the test says."""

from collections.abc import Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config.values import VerificationMethod
from homeserver.net.cause import OURSELVES
from homeserver.outbound.transport.connection import PeerConnection
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.protocol.discovery import Resolution
from homeserver.storage.engine.interface import Database, Job
from tests.support.certificates import issue_for
from tests.support.memory_database import MemoryDatabase
from tests.support.memory_tls_servers import Wire, start
from tests.support.outbound_stack import CA, PEER, Stack, route

WRONG = issue_for("other.test", CA)
"""A certificate of another server."""

NOT_FOR = "the certificate is not for peer.test but for 'other.test'"

UNTRUSTED = "the certificate is self-signed and not trusted"


def refusal(address: str, refused: str, form: str | None = None) -> str:
    """What is said of an address in a refused range."""
    return (
        f"{address} is in the refused range {refused}; to allow it, set "
        f'allow = ["{form or address}"] in [network]'
    )


_T = TypeVar("_T")

Connecting = Deferred[tuple[PeerConnection, VerifiedConnection]]


class SlowStore(MemoryDatabase):
    """A store whose jobs wait until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Deferred[None]] = []

    async def write(self, job: Job[_T]) -> _T:
        """As `Database.write`."""
        await self._wait()
        return await super().write(job)

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        await self._wait()
        return await super().read(job)

    def go_on(self) -> None:
        """Do all jobs, those too that follow on others."""
        while self._waiting:
            self._waiting.pop(0).callback(None)

    async def _wait(self) -> None:
        self._waiting.append(Deferred())
        await self._waiting[-1]


class ConnectorTestCase(SynchronousTestCase):
    """A connector that verifies by certificate."""

    methods: Sequence[VerificationMethod] = ("certificate",)

    def setUp(self) -> None:
        """Make the connector."""
        self.make_stack()

    def make_stack(
        self,
        refuse: Sequence[str] = (),
        allow: Sequence[str] = (),
        database: Database | None = None,
    ) -> None:
        """Make a connector that refuses some addresses, or that has another store."""
        self.stack = Stack(self.methods, refuse, allow, database)
        self.net = self.stack.net
        self.hosts = self.stack.names.hosts

    def connect(self, *hosts: str) -> Connecting:
        """Connect to the peer by routes over these hosts."""
        routes = [route(host, 8448 + number) for number, host in enumerate(hosts)]
        return start(
            self.stack.connector.connect(Resolution(PEER, [], routes), OURSELVES)
        )

    def link(self, connecting: Connecting) -> VerifiedConnection:
        """The link of a connection that was made."""
        _, link = self.successResultOf(connecting)
        return link

    def problem(self, connecting: Connecting) -> Unreachable:
        """Why there is no connection."""
        problem = self.failureResultOf(connecting, Unreachable).value
        assert isinstance(problem, Unreachable)
        return problem

    def attempts(self, connecting: Connecting) -> Sequence[str]:
        """What was tried in vain."""
        problem = self.problem(connecting)
        assert problem.destination == PEER
        assert str(problem) == "peer.test cannot be reached: " + "; ".join(
            problem.attempts
        )
        assert self.net.dialled == []
        return problem.attempts

    def assert_ended(self, wire: Wire, received: bytes = b"") -> None:
        """See to it that a connection is over, and what was said on it."""
        wire.flush()
        assert wire.peer.is_gone
        assert wire.peer.received == received

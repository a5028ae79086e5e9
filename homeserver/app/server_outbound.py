"""The bill of materials: what one of our servers reaches others with.

Rules: as those of `app.server`, of whose bill of materials this is a part.
"""

from collections.abc import Callable
from functools import cached_property

from homeserver.app.credentials import Credentials
from homeserver.app.server_stores import ServerStores
from homeserver.app.shared import Shared
from homeserver.config.values import ServerConfig
from homeserver.net.tls.certificate import Certificate
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.calls import FederationCalls
from homeserver.outbound.client import FederationClient
from homeserver.outbound.delivery.attempts import Attempts
from homeserver.outbound.delivery.outgoing import Outgoing
from homeserver.outbound.transport.connector import Connector
from homeserver.outbound.transport.verification import Verifier


class ServerOutbound(ServerStores):
    """The outbound parts of one of our servers."""

    def __init__(
        self,
        config: ServerConfig,
        credentials: Credentials,
        shared: Shared,
        attempts: Attempts,
        wake: Callable[[], object],
    ) -> None:
        """`attempts` are those of all our servers to deliver.

        `wake` lets the sender look for due destinations.
        """
        super().__init__(config, credentials, shared)
        self._attempts = attempts
        self._wake = wake

    @cached_property
    def verifier(self) -> Verifier:
        """Verifies other servers, by the data about them."""
        shared = self._shared
        return Verifier(
            shared.config.verification.methods,
            self.peers,
            shared.reactor,
            shared.metrics.count_verification,
            shared.exchanges,
        )

    @cached_property
    def connector(self) -> Connector:
        """Makes verified connections."""
        shared = self._shared
        return Connector(
            shared.dialer,
            self.verifier,
            shared.budgets,
            shared.reactor,
            self._client_certificate,
            shared.avoided,
        )

    def _client_certificate(self) -> Certificate | None:
        if not self._config.tls.present_client_certificate:
            return None
        return self.credentials.identity().certificate

    @cached_property
    def agent(self) -> FederationAgent:
        """Sends requests over its own connections."""
        shared = self._shared
        return FederationAgent(
            shared.reactor,
            shared.resolver,
            self.connector,
            shared.idle,
            shared.outgoing.depart,
        )

    @cached_property
    def client(self) -> FederationClient:
        """Signs requests with its keys."""
        shared = self._shared
        return FederationClient(
            self.agent, self.credentials.identity, shared.reactor, shared.exchanges
        )

    @cached_property
    def calls(self) -> FederationCalls:
        """Makes signed calls of any route."""
        return FederationCalls(
            self.client, self.credentials.identity, self._shared.exchanges
        )

    @cached_property
    def outgoing(self) -> Outgoing:
        """Queues transactions."""
        shared = self._shared
        return Outgoing(
            self.queue,
            self._attempts,
            shared.reactor,
            self._wake,
            shared.alive,
            shared.make_changes(),
        )

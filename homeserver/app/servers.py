"""Our servers in this process: added, found, replaced and removed while it runs.

Rules: adding a server makes none of its parts; they are made for their first use. A
removed server ends its own work only, and its queue stays stored.
"""

import secrets
from collections.abc import Collection, Iterator
from typing import NoReturn

from homeserver.app.credentials import Credentials
from homeserver.app.server import Server
from homeserver.app.shared import Shared
from homeserver.config.values import ServerConfig
from homeserver.identity.identity import Identity
from homeserver.identity.local_names import Arrival, LocalNames
from homeserver.net.bounds import Bound
from homeserver.net.exchange import Exchange
from homeserver.net.tls.server import Listening, Presented
from homeserver.outbound.delivery.attempts import Attempts, TransactionClient
from homeserver.outbound.delivery.deliverer import Deliverer
from homeserver.outbound.delivery.sender import Sender
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.outbox.leases import DestinationLeases

_NO_NAME = ServerName.parse("name.invalid")  # reserved by RFC 2606


class Servers:
    """Our servers, by name and in the order in which they were added."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._servers: dict[ServerName, Server] = {}
        self.names = LocalNames()
        store, worker = shared.store, shared.worker
        joins = worker is not None and worker.joins
        leases = DestinationLeases(
            store.database,
            self.names.__contains__,
            store.clock,
            secrets.token_hex(16) if worker is None else worker.holder,
            shared.config.sending.max_retry_seconds,
            is_shared=store.is_shared,
            joins=store.is_remote or joins,
        )
        self._attempts = Attempts(self._transaction_client, shared.exchanges)
        deliverer = Deliverer(
            leases,
            self._attempts,
            shared.config.sending,
            shared.exchanges,
            shared.random,
            shared.pace,
        )
        self.sender = Sender(
            deliverer,
            self.names.__contains__,
            lambda name: self[name].announce_sent(),
            shared.reactor,
            shared.random,
        )

    def _transaction_client(self, name: ServerName) -> TransactionClient:
        client, spoiler = self[name].client, self._shared.spoiler
        return client if spoiler is None else spoiler.client(name, client)

    @property
    def bounds(self) -> list[Bound]:
        """The limits on what is sent, and kept of it, for all of them."""
        return [*self.sender.bounds, self._attempts.bound]

    def __getitem__(self, name: ServerName) -> Server:
        return self._servers[name]

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers.values())

    def __len__(self) -> int:
        return len(self._servers)

    def find(self, name: ServerName) -> Server | None:
        """The server of that name; None if there is none."""
        return self._servers.get(name)

    def add(
        self,
        config: ServerConfig,
        credentials: Credentials,
        certificate_names: Collection[str] | None = None,
    ) -> Server:
        """Add a server; raises `ValueError` if there is one of that name.

        `certificate_names` are the names in SNI that select its certificate, beside its
        host; None for those in the certificate, which is made then.
        """
        name = config.server_name
        if name in self._servers:
            raise ValueError(f"there is a server {name} already")
        if certificate_names is None:
            certificate_names = credentials.identity().certificate.names
        server = self._servers[name] = self.build(config, credentials)
        self.names.add(name, certificate_names, server.delegate_to)
        self._shared.server_contexts.forget_sessions()
        self.sender.wake()  # its stored queue may have due entries
        return server

    def build(self, config: ServerConfig, credentials: Credentials) -> Server:
        """A server that is not one of ours."""
        return Server(
            config, credentials, self._shared, self._attempts, self.sender.wake
        )

    def pattern(self) -> Server:
        """A server whose routes have the shape of all; it answers no request."""
        config = ServerConfig(server_name=_NO_NAME)
        return self.build(config, Credentials(_no_identity))

    def replace(
        self,
        name: ServerName,
        identity: Identity,
        certificate_names: Collection[str] | None = None,
        config: ServerConfig | None = None,
    ) -> None:
        """Give a server other keys and another certificate; raises `KeyError`.

        With `config`, also another configuration of the same name.
        """
        server = self._servers[name]
        if config is not None:
            server.reconfigure(config)
        if certificate_names is None:
            certificate_names = identity.certificate.names
        server.credentials.replace(identity)
        self.names.add(name, certificate_names, server.delegate_to)
        self._shared.server_contexts.forget_sessions()

    async def remove(self, name: ServerName) -> None:
        """Remove a server; raises `KeyError`.

        From now on no request is answered and nothing is sent in its name. Running
        attempts are aborted; arrived requests are answered.
        """
        server = self._servers[name]
        self.names.remove(name)
        self._shared.server_contexts.forget_sessions()
        server.end_waits()
        await self.sender.leave(name)
        await server.close()
        del self._servers[name]

    def note_refusal(self, exchange: Exchange) -> None:
        """Record an exchange that ended with an error, for its server.

        One that names no server, as it was not HTTP, is recorded for the first server.
        """
        server = next(iter(self), None)
        if exchange.server:
            server = self.find(ServerName.parse(exchange.server)) or server
        if server is not None:
            server.refusals.note(exchange)

    def present(self, listening: Listening, sni: str | None) -> Presented | None:
        """The certificate for the name in SNI; None without a server."""
        name = self.names.presenting(Arrival(listening.own, listening.default, sni))
        return None if name is None else self._servers[name].presented


def _no_identity() -> NoReturn:
    raise AssertionError("nothing is asked of the pattern of a server")

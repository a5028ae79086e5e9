"""One server name's endpoint: started, reloaded, stopped.

Rules: nothing is decided here but the order. What listens is listened to
last and closed first; what was begun is finished, within the configured time.
"""

from pathlib import Path
from random import Random

from twisted.internet import task
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger

from homeserver.app.composition import Parts
from homeserver.app.credentials import Credentials
from homeserver.config.values import Config, ConfigError
from homeserver.control import address_file
from homeserver.control.inspect import describe_keys
from homeserver.control.views import KeysView
from homeserver.http.site import BoundedSite
from homeserver.http.tls_listener import BoundedTls
from homeserver.identity.exposure import find_exposed
from homeserver.identity.identity import Identity
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import ServerName


class Endpoint:
    """What runs."""

    _log = Logger()

    def __init__(
        self,
        path: Path,
        config: Config,
        identity: Identity,
        reactor: PosixReactorBase,
        random: Random,
    ) -> None:
        """`path` is that of the configuration. Raises `ConfigError`."""
        self._path = path
        self._config = config
        self._reactor = reactor
        self._credentials = Credentials(path, config, identity)
        self._parts = Parts(path, config, self._credentials, reactor, random)
        self._ports: list[IListeningPort] = []
        self.control_address: SocketAddress | None = None
        """Where the control API listens; None if it does not."""

    async def start(self) -> SocketAddress:
        """Accept connections and send what is owed; returns where others connect to.

        Raises `ConfigError` where a port cannot be had, and `StoreUnavailable`.
        """
        parts = self._parts
        parts.database.start()
        parts.threads.start()
        tls = BoundedTls(
            self._credentials.server_tls,
            parts.site,
            parts.connections,
            self._reactor,
            parts.exchanges,
        )
        listening = self._listen("listen", self._config.listen, tls)
        if parts.control_site is not None and self._config.control.listen is not None:
            self.control_address = self._listen(
                "control.listen", self._config.control.listen, parts.control_site
            )
            self._publish(self.control_address)
        await parts.sender.start()
        parts.reactor_lag.start()
        parts.pruner.start()
        for exposed in find_exposed(self._secrets()):
            self._log.warn("{exposed}", exposed=exposed)
        trusted = self._config.limits.trusted_clients
        if trusted:
            self._log.warn(
                "limits.trusted_clients: no shares and no budgets for clients in "
                "{ranges}",
                ranges=", ".join(map(str, trusted)),
            )
        return listening

    def _publish(self, control_address: SocketAddress) -> None:
        """Tell the commands where the control API is; raises `ConfigError`."""
        control = self._config.control
        if control.listen is not None:
            try:
                address_file.publish(
                    control.listen, control.token_file, control_address
                )
            except OSError as problem:
                file = address_file.path_of(control.token_file)
                why = f"{file} cannot be written: {problem.strerror}"
                raise ConfigError(self._path, [f"control.listen: {why}"]) from None

    def _secrets(self) -> list[Path]:
        """The files that nobody else is to read, as far as they are configured."""
        files = [self._config.signing.key, self._config.tls.private_key]
        if self._config.control.listen is not None:
            files.append(self._config.control.token_file)
        kind, _, store = self._config.storage.url.partition(":")
        if kind == "sqlite":
            files.append(self._path.absolute().parent / store)
        return files

    async def stop(self) -> None:
        """Take nothing new, finish what is in flight within the configured time."""
        self._parts.reactor_lag.stop()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        control = self._config.control
        if self.control_address is not None and control.listen is not None:
            address_file.remove(control.listen, control.token_file)
        # Not cancelled when time is up: what is in flight may still be lucky while
        # the rest is closed, and what is not done stays owed.
        finishing = Deferred.fromCoroutine(self._finish())
        time_up: Deferred[None] = task.deferLater(
            self._reactor, self._config.shutdown_seconds
        )
        await DeferredList([finishing, time_up], fireOnOneCallback=True)
        if not finishing.called:
            self._log.warn("stopped with work in flight")
        self._parts.threads.stop()
        await self._parts.database.close()

    async def describe_keys(
        self, server_name: ServerName, *, v2_only: bool
    ) -> KeysView:
        """What `inspection.describe_keys` says, of an endpoint that was not started."""
        self._parts.database.start()
        try:
            return await describe_keys(
                self._parts.client,
                self._parts.peers,
                self._reactor,
                self._parts.verifier.invalid_documents,
                server_name,
                v2_only=v2_only,
            )
        finally:
            await self._parts.agent.close()
            await self._parts.database.close()

    def reload(self) -> None:
        """Take up the signing keys and the certificate that are configured now.

        Where they are of no use, this is logged and the present ones stay.
        """
        try:
            self._credentials.reload()
        except ConfigError as problem:
            self._log.error("nothing reloaded: {problem}", problem=problem)
            return
        self._log.info("signing keys and certificate reloaded")

    async def _finish(self) -> None:
        parts = self._parts
        parts.received.end_waits()
        parts.refusals.end_waits()
        sending = Deferred.fromCoroutine(parts.sender.stop())
        await parts.site.drain()
        if parts.control_site is not None:
            await parts.control_site.drain()
        await parts.refusals.stop()
        await sending
        await parts.pruner.stop()
        await parts.agent.close()

    def _listen(
        self,
        key: str,
        where: SocketAddress,
        factory: BoundedTls | BoundedSite,
    ) -> SocketAddress:
        try:
            port = self._reactor.listenTCP(where.port, factory, interface=where.host)
        except CannotListenError as problem:
            raise ConfigError(
                self._path, [f"{key}: {where}: {problem.socketError}"]
            ) from None
        self._ports.append(port)
        return SocketAddress(where.host, port.getHost().port)

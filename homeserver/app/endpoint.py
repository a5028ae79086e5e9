"""The life of a process: started, reloaded, stopped; servers come and go meanwhile.

Rules: only the order is decided here. Ports are opened last and closed first; running
work is finished, within the configured time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol

from twisted.internet import task
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger

from homeserver.app.composition import Parts
from homeserver.app.credentials import Credentials
from homeserver.app.listeners import CannotListen, address_of, listen
from homeserver.app.server import Server
from homeserver.app.shared import Outside, Shared
from homeserver.app.store import configured_store
from homeserver.config.changes import find_changes
from homeserver.config.values import Config, ConfigError, ServerConfig
from homeserver.control import address_file
from homeserver.control.inspect import describe_keys
from homeserver.control.peer_views import KeysView
from homeserver.control.routing import ControlRoute
from homeserver.identity.exposure import find_exposed
from homeserver.identity.identity import Identity
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import ServerName


class Extension(Protocol):
    """What a process does beside what it is configured for."""

    def wrap(self, outside: Outside) -> Outside:
        """What the process stands on, from that without the extension."""
        ...

    def routes(self, parts: Parts) -> Sequence[ControlRoute]:
        """More routes of the control API."""
        ...


class Endpoint:
    """A running process."""

    _log = Logger()

    def __init__(  # noqa: PLR0913, PLR0917 - what a process is made of
        self,
        path: Path,
        config: Config,
        identities: Mapping[ServerName, Identity],
        reactor: PosixReactorBase,
        random: Random,
        outside: Outside | None = None,
        extension: Extension | None = None,
    ) -> None:
        """`path` is that of the configuration. Raises `ConfigError`.

        `identities` are those of the configured servers; the store is the
        configured one unless `outside` has another.
        """
        self._path = path
        self._config = config
        self._reactor = reactor
        if outside is None:
            outside = Outside(partial(configured_store, path, config, reactor))
        if extension is not None:
            outside = extension.wrap(outside)
        self.parts = Parts(Shared(path, config, reactor, random, outside))
        for server in config.servers:
            credentials = Credentials(
                partial(identities.__getitem__, server.server_name)
            )
            self.parts.servers.add(server, credentials)
        more = () if extension is None else extension.routes(self.parts)
        self.parts.make_control(more)
        self._control_port: IListeningPort | None = None
        self.control_address: SocketAddress | None = None
        """Where the control API listens; None if it does not."""

    async def start(self) -> dict[ServerName, SocketAddress]:
        """Accept connections and send queued entries; returns where servers listen.

        Raises `ConfigError` if a port cannot be opened, and `StoreUnavailable`.
        """
        parts = self.parts
        parts.shared.store.start()
        parts.shared.threads.start()
        listening = dict(self._listen())
        worker = parts.shared.worker
        await parts.sender.start(tries_all=worker is None or not worker.joins)
        parts.reactor_lag.start()
        if worker is None or worker.is_first:  # for all
            parts.shared.pruner.start()
            for remark in [*find_exposed(self._secrets()), *parts.remarks.renew()]:
                self._log.warn("{remark}", remark=remark)
        if worker is not None and worker.is_first:
            worker.bell.listen(self._reactor, parts.shared.note_changes)
        return listening

    async def add(
        self,
        config: ServerConfig,
        credentials: Credentials,
        certificate_names: Collection[str] | None = None,
        *,
        is_own: bool = False,
    ) -> Server:
        """Add a server to a running process, as `Servers.add` and `Listeners.open`.

        Raises `ValueError` and `CannotListen`.
        """
        parts = self.parts
        server = parts.servers.add(config, credentials, certificate_names)
        try:
            parts.listeners.open(server.name, config.listen, is_own=is_own)
        except BaseException:
            await self.remove(server.name)
            raise
        return server

    async def remove(self, name: ServerName) -> None:
        """Remove a server from a running process; raises `KeyError`."""
        await self.parts.listeners.leave(name)
        await self.parts.servers.remove(name)

    async def stop(self) -> None:
        """Accept nothing new, and finish running work within the configured time."""
        parts = self.parts
        parts.reactor_lag.stop()
        await parts.listeners.stop()
        if self._control_port is not None:
            await maybeDeferred(self._control_port.stopListening)
        control = self._config.control
        if self.control_address is not None and control.listen is not None:
            address_file.remove(control.listen, control.token_file)
        # Not cancelled when time is up: running work may still succeed while the rest
        # is closed, and unfinished entries stay queued.
        finishing = Deferred.fromCoroutine(self._finish())
        time_up: Deferred[None] = task.deferLater(
            self._reactor, self._config.shutdown_seconds
        )
        await DeferredList([finishing, time_up], fireOnOneCallback=True)
        if not finishing.called:
            self._log.warn("stopped with work in flight")
        parts.shared.threads.stop()
        await parts.shared.store.close()

    async def describe_keys(
        self, ours: ServerName, server_name: ServerName, *, v2_only: bool
    ) -> KeysView:
        """As `inspect.describe_keys` for one of our servers, without a start."""
        store, server = self.parts.shared.store, self.parts.servers[ours]
        store.start()
        try:
            return await describe_keys(
                server.client,
                server.peers,
                self._reactor,
                server.verifier.invalid_documents,
                server_name,
                v2_only=v2_only,
            )
        finally:
            await server.close()
            await store.close()

    def reload(self, config: Config, load: Callable[[ServerName], Identity]) -> None:
        """Use the signing keys and the certificates that are configured now.

        `load` loads those of one server, or raises `ConfigError`; then this is logged,
        and that server keeps its present ones. What else has changed in `config` since
        the start is named, as it needs a restart.
        """
        self._take_up(load)
        remarks = self.parts.remarks
        remarks.note_changes(find_changes(self._config, config))
        for remark in remarks.renew():
            self._log.warn("{remark}", remark=remark)

    def _take_up(self, load: Callable[[ServerName], Identity]) -> None:
        for server in self.parts.servers:
            try:
                identity = load(server.name)
            except ConfigError as problem:
                self._log.error(
                    "nothing reloaded of {name}: {problem}",
                    name=server.name,
                    problem=problem,
                )
                continue
            is_same = identity.proves_as(server.credentials.identity())
            self.parts.servers.replace(server.name, identity)
            outcome = "are as they were" if is_same else "reloaded"
            self._log.info(
                "{name}: signing keys and certificate {outcome}",
                name=server.name,
                outcome=outcome,
            )

    def _listen(self) -> Iterator[tuple[ServerName, SocketAddress]]:
        parts, config = self.parts, self._config
        for server in config.servers:
            key = f"listen of {server.server_name}" if len(config.servers) > 1 else None
            with _as_config_error(self._path, key or "listen"):
                yield (
                    server.server_name,
                    parts.listeners.open(server.server_name, server.listen),
                )
        if parts.control_site is not None and config.control.listen is not None:
            worker = parts.shared.worker
            if worker is not None and not worker.is_first:
                self._control_port = worker.listen_to_first(
                    self._reactor, parts.control_site
                )
                return
            with _as_config_error(self._path, "control.listen"):
                self._control_port = listen(
                    config.control.listen, parts.control_site, parts.shared
                )
            self.control_address = address_of(config.control.listen, self._control_port)
            self._publish(self.control_address)

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
        """The configured files that only their owner may read."""
        config = self._config
        files = [
            path
            for server in config.servers
            for path in (server.signing.key, server.tls.private_key)
        ]
        if config.control.listen is not None:
            files.append(config.control.token_file)
        kind, _, store = config.storage.url.partition(":")
        if kind == "sqlite":
            files.append(self._path.absolute().parent / store)
        return list(dict.fromkeys(files))

    async def _finish(self) -> None:
        parts = self.parts
        parts.shared.end_waits()
        for server in parts.servers:
            server.end_waits()
        sending = Deferred.fromCoroutine(parts.sender.stop())
        await parts.site.drain()
        if parts.control_site is not None:
            await parts.control_site.drain()
        await parts.shared.refusals.stop()
        await sending
        await parts.shared.pruner.stop()
        for server in parts.servers:
            await server.close()


@contextmanager
def _as_config_error(path: Path, key: str) -> Iterator[None]:
    """A port that cannot be opened is a mistake in the configuration."""
    try:
        yield
    except CannotListen as problem:
        raise ConfigError(path, [f"{key}: {problem}"]) from None

"""The listeners of our servers: one for each address, shared by those that name it.

Rules: a listener with one server is that server's own. Nothing is answered here.
"""

import errno
from typing import cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory

from homeserver.app.servers import Servers
from homeserver.app.shared import Shared
from homeserver.http.site import BoundedSite
from homeserver.http.tls_listener import BoundedTls, ListeningTls
from homeserver.net.addresses import SocketAddress
from homeserver.net.system_errors import in_words
from homeserver.net.tls.server import Listening, ServerTls
from homeserver.protocol.identifiers import ServerName

_ADVICE = {
    errno.EADDRINUSE: "choose another port, or 0 for a free one",
    errno.EACCES: "ports below 1024 need privileges: choose another one, or 0",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


class CannotListen(Exception):
    """A port cannot be opened; `str()` says where, why, and what to do."""


class Listener:
    """One port, and the servers that it is for."""

    def __init__(self, where: SocketAddress, site: BoundedSite, shared: Shared) -> None:
        """Not open yet."""
        self._where = where
        self._site = site
        self._shared = shared
        self._names: dict[ServerName, None] = {}
        self._listening = Listening(None, None)
        self._port: IListeningPort | None = None
        self._factory: BoundedTls | None = None

    @property
    def is_unused(self) -> bool:
        """Whether no server is left."""
        return not self._names

    def open(self, servers: Servers) -> None:
        """Accept connections; raises `CannotListen`."""
        shared = self._shared
        tls = ServerTls(self._listening, servers.present, shared.server_contexts)
        self._factory = self._build(tls)
        factory: IProtocolFactory = self._factory
        if shared.wrap_listener is not None:
            factory = shared.wrap_listener(
                ListeningTls(tls, self._factory, self._build, shared.connections)
            )
        self._port = listen(self._where, factory, shared)

    def _build(self, tls: ServerTls) -> BoundedTls:
        shared = self._shared
        return BoundedTls(
            tls, self._site, shared.connections, shared.reactor, shared.exchanges
        )

    @property
    def address(self) -> SocketAddress:
        """Where it listens, with the port that the system chose."""
        return address_of(self._where, self._port)

    def add(self, name: ServerName) -> None:
        """Use it for one more server."""
        self._names[name] = None
        self._update()

    def remove(self, name: ServerName) -> None:
        """Use it for one server less."""
        self._names.pop(name, None)
        self._update()

    async def stop(self) -> None:
        """Accept no more connections."""
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)

    async def close(self) -> None:
        """As `stop`, and end each connection after the requests that it carries."""
        await self.stop()
        if self._factory is not None:
            self._factory.end_connections()

    def _update(self) -> None:
        first = next(iter(self._names), None)
        # Open connections refer to this object as well.
        self._listening.default = first
        self._listening.own = first if len(self._names) == 1 else None
        self._shared.server_contexts.forget_sessions()


class Listeners:
    """All listeners."""

    def __init__(self, servers: Servers, site: BoundedSite, shared: Shared) -> None:
        self._servers = servers
        self._site = site
        self._shared = shared
        self._shared_by_address: dict[SocketAddress, Listener] = {}
        self._by_name: dict[ServerName, Listener] = {}
        self._kept: list[Listener] = []

    def keep(self, where: SocketAddress) -> SocketAddress:
        """Accept connections also while no server names the address; returns it.

        Raises `CannotListen`.
        """
        listener = Listener(where, self._site, self._shared)
        listener.open(self._servers)
        self._kept.append(listener)
        self._shared_by_address[listener.address] = listener
        return listener.address

    def open(
        self, name: ServerName, where: SocketAddress, *, is_own: bool = False
    ) -> SocketAddress:
        """Accept connections to a server; returns where.

        Servers that name one address share its listener, unless `is_own`. Raises
        `CannotListen`.
        """
        listener = None if is_own else self._shared_by_address.get(where)
        if listener is None:
            listener = Listener(where, self._site, self._shared)
            listener.open(self._servers)
            if not is_own:
                self._shared_by_address[where] = listener
        listener.add(name)
        self._by_name[name] = listener
        return listener.address

    def is_open(self, where: SocketAddress) -> bool:
        """Whether a listener that servers share is at an address."""
        return where in self._shared_by_address

    def address(self, name: ServerName) -> SocketAddress | None:
        """Where a server listens; None if it does not."""
        listener = self._by_name.get(name)
        return None if listener is None else listener.address

    async def leave(self, name: ServerName) -> None:
        """Close the listener of a server, unless another server shares it."""
        listener = self._by_name.pop(name, None)
        if listener is None:
            return
        listener.remove(name)
        if listener.is_unused and listener not in self._kept:
            for where, each in list(self._shared_by_address.items()):
                if each is listener:
                    del self._shared_by_address[where]
            await listener.close()

    async def stop(self) -> None:
        """Accept no more connections."""
        for listener in {*self._by_name.values(), *self._kept}:
            await listener.stop()


def listen(
    where: SocketAddress, factory: IProtocolFactory, shared: Shared
) -> IListeningPort:
    """A port that accepts connections; raises `CannotListen`."""
    reactor, worker = shared.reactor, shared.worker
    try:
        if worker is not None:
            return worker.listen(reactor, where, factory)
        port: IListeningPort = reactor.listenTCP(
            where.port, factory, interface=where.host
        )
    except (CannotListenError, OSError) as problem:
        raise CannotListen(f"{where}: {advised(problem)}") from None
    return port


def advised(problem: Exception) -> str:
    """Why a port cannot be opened, and what to do."""
    why = in_words(problem)
    socket_error = getattr(problem, "socketError", problem)
    advice = _ADVICE.get(getattr(socket_error, "errno", 0))
    return why if advice is None else f"{why}; {advice}"


def address_of(where: SocketAddress, port: IListeningPort | None) -> SocketAddress:
    """The address of a port, which may be another one than the requested."""
    if port is None:
        return where
    listening = cast("IPv4Address | IPv6Address", port.getHost())
    return SocketAddress(where.host, listening.port)

"""The servers of a lab: made, listed, changed and deleted while it runs.

Rules: what is described wrongly makes nothing: all servers of a request are made, or
none. A deleted server goes on answering politely unless it is to be gone, because
requests to it may be on their way. Names that others sent make nothing.
"""

from collections.abc import Collection, Iterator
from functools import partial

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from homeserver.app.credentials import Credentials
from homeserver.app.endpoint import Endpoint
from homeserver.app.listeners import CannotListen
from homeserver.app.server import Server
from homeserver.lab.authority.authority import Authority
from homeserver.lab.dns_server.zone import Zone
from homeserver.lab.seed import Seed
from homeserver.lab.servers.description import (
    MAX_SERVERS,
    Change,
    NewServers,
    ServerView,
    parse_server_name,
)
from homeserver.lab.servers.names import Names, free_port, note_on
from homeserver.lab.servers.server import LabServer, Place
from homeserver.lab.spoil.transmission import Means
from homeserver.net.addresses import SocketAddress
from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.errors import InvalidParam, NotFound, TooLarge, listed, quote
from homeserver.protocol.identifiers import DEFAULT_PORT, ServerName

# Deleted servers that still answer. Tests end within minutes, and then nothing asks.
_MAX_POLITE = 10_000

# For a port that another program took before the listener did.
_PORT_ATTEMPTS = 20


class Ground(Struct, frozen=True):
    """What all servers of a lab stand on."""

    endpoint: Endpoint
    authority: Authority
    zone: Zone
    seed: Seed
    shared: Place
    """Of the listener that servers share."""


class LabServers:
    """The servers of a lab, in the order in which they were made."""

    def __init__(self, ground: Ground, clock: IReactorTime) -> None:
        self._ground = ground
        self._clock = clock
        self._servers: dict[ServerName, LabServer] = {}
        self._polite: dict[ServerName, LabServer] = {}
        self._hosts: dict[str, ServerName] = {}
        self._names = Names(ground.zone.apex)
        self._views: dict[ServerName, ServerView] = {}

    @property
    def shared(self) -> Place:
        """Of the listener that servers share."""
        return self._ground.shared

    def __iter__(self) -> Iterator[LabServer]:
        return iter(self._servers.values())

    @property
    def names(self) -> Collection[ServerName]:
        """Their names, at any moment."""
        return self._servers.keys()

    def __len__(self) -> int:
        return len(self._servers)

    def find(self, name: ServerName) -> LabServer:
        """The server of that name; raises `NotFound`."""
        server = self._servers.get(name)
        if server is None:
            known = listed((each.name for each in self._servers), 5)
            raise NotFound(f"there is no server {quote(name.name)}; there are: {known}")
        return server

    def known(self, name: str) -> LabServer | None:
        """The server of that name; None if there is none."""
        return self._servers.get(ServerName.parse(name)) if name else None

    def view(self, server: LabServer) -> ServerView:
        """A server as the control API shows it."""
        found = self._views.get(server.name)
        if found is None:
            shown = server.view(self._ground.authority)
            found = self._views[server.name] = replace(
                shown,
                note=note_on(
                    server.name,
                    self._ground.zone.apex,
                    SocketAddress.parse(shown.listen),
                ),
            )
        return found

    def parts(self, name: ServerName) -> Server:
        """The parts of the server of that name; raises `NotFound`."""
        return self._ground.endpoint.parts.servers[self.find(name).name]

    def means(self, name: ServerName) -> Means:
        """What the server of that name sends with; raises `NotFound`."""
        parts = self.parts(name)
        return Means(parts.credentials.identity(), self.find(name).key, parts.agent)

    def check_lives(self, name: str) -> None:
        """Raise `NotFound` for a server that was deleted."""
        if name and self._polite and ServerName.parse(name) in self._polite:
            raise NotFound(f"the server {name} was deleted; only its keys are left")

    def owner(self, host: str) -> ServerName | None:
        """The server that a DNS name belongs to: its host, or a service of it."""
        while host:
            owner = self._hosts.get(host)
            if owner is not None:
                return owner
            _, _, host = host.partition(".")
        return None

    async def make(self, wanted: NewServers) -> list[LabServer]:
        """Make one or more servers; raises `InvalidParam` and `TooLarge`."""
        if len(self) + wanted.count > MAX_SERVERS:
            raise TooLarge(
                f"a lab has {MAX_SERVERS} servers at most, and there are {len(self)}; "
                "delete some of them, or start another lab"
            )
        if wanted.name is not None and wanted.count > 1:
            raise InvalidParam("`name` is for one server, and `count` for more")
        made: dict[ServerName, LabServer] = {}
        try:
            while len(made) < wanted.count:
                await self._ground.endpoint.parts.shared.pace.pause()
                server = await self._make(wanted)
                made[server.name] = server
        except BaseException:
            for name in made:
                await self.delete(name, gone=True)
                self._give_back(name, wanted)
            raise
        return list(made.values())

    async def make_one(self, wanted: NewServers) -> LabServer:
        """Make one server; waits for nothing. Raises `InvalidParam`."""
        return await self._make(wanted)

    async def _make(self, wanted: NewServers) -> LabServer:
        for attempt in range(_PORT_ATTEMPTS):
            name, place = self._locate(wanted)
            try:
                return await self._make_at(name, place, wanted)
            except CannotListen as problem:
                is_last = attempt == _PORT_ATTEMPTS - 1
                if is_last or not wanted.takes_any_port:
                    raise InvalidParam(f"`listen`: {problem}") from None
            except BaseException:
                self._give_back(name, wanted)
                raise
        raise AssertionError("the last attempt returns or raises")

    async def _make_at(
        self, name: ServerName, place: Place, wanted: NewServers
    ) -> LabServer:
        """Make a server with a name at a place; also raises `CannotListen`."""
        ground = self._ground
        if name in self._servers:
            raise _taken(name)
        seed = ground.seed if wanted.seed is None else Seed(wanted.seed)
        server = LabServer.build(name, seed, place, wanted)
        server.certificate(ground.authority)  # raises for a fault that cannot be
        await self._end_politeness(name)
        try:
            await self._start(server)
        except ValueError:
            raise _taken(name) from None  # by a request at the same time
        return server

    def _give_back(self, name: ServerName, wanted: NewServers) -> None:
        if wanted.takes_any_name:
            self._names.give_back(name)

    def _locate(self, wanted: NewServers) -> tuple[ServerName, Place]:
        shared = self._ground.shared
        if wanted.takes_any_name:
            return self._names.next(self._servers), shared
        text = wanted.name
        if text is None:
            text = f"{_bracketed(shared.address)}:0"
        if text.endswith(":0"):
            if wanted.name is not None and wanted.listen == "shared":
                raise InvalidParam('`name`: port 0 needs `"listen": "own"`')
            port = self._free_port(text)
            name = parse_server_name(f"{text.removesuffix('0')}{port}")
        else:
            name = parse_server_name(text)
        if wanted.listen == "shared":
            return name, shared
        host = name.host if name.is_ip else shared.listen.host
        # No record leads from an address to another port than the usual one.
        port = name.port or (DEFAULT_PORT if name.is_ip else self._free_port(name.name))
        listen = SocketAddress(host, port)
        address = name.host if name.is_ip else shared.address
        return name, Place(listen, address, is_own=True)

    def _free_port(self, text: str) -> int:
        host = text.removesuffix(":0").strip("[]")
        for each in (host, self._ground.shared.listen.host):
            try:
                return free_port(each)
            except (OSError, ValueError):
                continue  # a name, or an address of another machine
        raise InvalidParam(f"`name`: no port of {quote(host)} is free here")

    async def _start(self, server: LabServer) -> None:
        ground = self._ground
        ground.zone.add(server.dns)
        try:
            await ground.endpoint.add(
                server.config,
                Credentials(partial(server.identity, ground.authority)),
                server.hosts,
                is_own=server.place.is_own,
            )
        except BaseException:
            ground.zone.remove(server.dns)
            raise
        self._servers[server.name] = server
        self._hosts[server.name.host] = server.name

    async def change(self, name: ServerName, wanted: Change) -> LabServer:
        """Change a server while it runs; raises `NotFound` and `InvalidParam`."""
        ground, before = self._ground, self.find(name)
        now_ts = wall_ts(self._clock)
        server = before.changed(wanted, now_ts)
        if server.dns != before.dns:
            server = replace(server, records_since=self._clock.seconds())
        identity = server.identity(ground.authority)
        ground.zone.remove(before.dns)
        try:
            ground.zone.add(server.dns)
        except BaseException:
            ground.zone.add(before.dns)
            raise
        ground.endpoint.parts.servers.replace(
            name, identity, server.hosts, server.config
        )
        self._servers[name] = server
        self._views.pop(name, None)
        return server

    async def delete(self, name: ServerName, *, gone: bool = False) -> None:
        """Delete a server; raises `NotFound`.

        It goes on answering unless it is to be `gone`, and sends nothing more.
        """
        if gone and name in self._polite:
            await self._end_politeness(name)
            return
        server = self.find(name)
        del self._servers[name]
        self._views.pop(name, None)
        self._polite[name] = server
        if gone:
            await self._end_politeness(name)
        else:
            await self._ground.endpoint.parts.control.stored_state().forget_queue(name)
        if len(self._polite) > _MAX_POLITE:
            await self._end_politeness(next(iter(self._polite)))

    async def _end_politeness(self, name: ServerName) -> None:
        """Remove a deleted server for good, if there is one of that name."""
        server = self._polite.pop(name, None)
        if server is None:
            return
        self._ground.zone.remove(server.dns)
        if self._hosts.get(name.host) == name:
            del self._hosts[name.host]
        await self._ground.endpoint.remove(name)


def _taken(name: ServerName) -> InvalidParam:
    return InvalidParam(f"`name`: there is a server {name} already; delete it first")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address

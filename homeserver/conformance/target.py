"""The target as one check sees it: servers of ours, requests, and what they saw.

Rules: each check has a `Target` of its own. Its servers answer up to the end of the
run, because the target may come back to them.

Specification: Server-server API, "Request Authentication" and "Transactions".
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, Unpack

from msgspec import UNSET
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater

from homeserver import __version__
from homeserver.conformance.changes import Changes, How
from homeserver.conformance.connection import Connection, head
from homeserver.conformance.facts import Facts
from homeserver.conformance.ground import Ground
from homeserver.conformance.our_servers import OurServers
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NoAnswer
from homeserver.conformance.reply import Reply, unlimited
from homeserver.conformance.seen import Seen
from homeserver.lab.record.entry import Entry
from homeserver.lab.spoil.request_body import RequestBody
from homeserver.lab.spoil.spoils import spoil
from homeserver.lab.spoil.transmission import outgoing_of
from homeserver.net.exchange import Exchange
from homeserver.net.http_message import Message
from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.discovery import Route
from homeserver.protocol.identifiers import ServerName

_T = TypeVar("_T")

USER_AGENT = f"homeserver/{__version__} conform"

_PATIENCE = 600.0  # seconds; checks end before

_SECONDS = 30.0  # for a reply: the target may have to find a key first

_MAX_TRIES = 8  # of a request to a target that limits them
_MAX_PAUSES = 30.0  # seconds between them, all in all


class Target(OurServers):
    """The target, for one check."""

    def __init__(
        self, ground: Ground, facts: Facts, patience: float = _PATIENCE
    ) -> None:
        """`patience` is for how many seconds it waits for a reply at most."""
        super().__init__(ground)
        self._patience = patience
        self._shared = ground.lab.endpoint.parts.shared
        self._began_after = ground.lab.record.last_id
        self.facts = facts
        """What pre-flight has found: users, rooms, versions."""

        self._plain: list[Exchange] = []

    @property
    def name(self) -> ServerName:
        """The target's name."""
        return self._ground.target

    @property
    def now_ts(self) -> int:
        """The time, in milliseconds since 1970."""
        return wall_ts(self._ground.clock)

    async def ask(self, ours: Ours, **changes: Unpack[Changes]) -> Reply:
        """The default probe: a signed, empty transaction; 200 if it is believed.

        Raises `NoAnswer`.
        """
        changes.setdefault("content", self.transaction(ours))
        path = f"/_matrix/federation/v1/send/{self.fresh('t')}"
        return await self.request(ours, "PUT", path, **changes)

    def transaction(
        self, ours: Ours, pdus: Sequence[object] = (), edus: Sequence[object] = ()
    ) -> Json:
        """The content of a transaction of ours."""
        return {
            "origin": ours.name.name,
            "origin_server_ts": self.now_ts,
            "pdus": list(pdus),
            "edus": list(edus),
        }

    async def request(
        self, ours: Ours, method: str, path: str, **changes: Unpack[Changes]
    ) -> Reply:
        """A signed request of a server of ours; raises `NoAnswer`."""
        body = RequestBody(
            destination=self.name.name,
            path=path,
            method=method,
            query=changes.get("query"),
            content=changes.get("content", UNSET),
            headers=changes.get("headers", {}),
            sign=changes.get("sign", UNSET),
            spoil=changes.get("spoil", []),
        )
        parts = self._ground.lab.servers.parts(ours.name)
        draft = body.draft(parts.credentials.identity(), ours.server.key)
        spoil(draft, body.spoil)
        outgoing = outgoing_of(draft)
        if (make := changes.get("authorization")) is not None:
            outgoing.headers.setRawHeaders("Authorization", list(make(draft)))
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, values in outgoing.headers.getAllRawHeaders()
            for value in values
        ]
        if draft.host is not None:
            headers.insert(0, ("Host", draft.host))
        data = draft.body
        if (change := changes.get("wire")) is not None:
            headers, data = change(headers, data)
        return await self.send(
            method,
            draft.target,
            headers,
            data,
            ours=ours,
            seconds=changes.get("seconds", _SECONDS),
            takes_limit=changes.get("takes_limit", False),
        )

    async def all(
        self, asked: Sequence[Coroutine[Deferred[Any], Any, Reply]]
    ) -> list[Reply]:
        """The replies to requests that are made at once; raises `NoAnswer`."""
        running = [Deferred.fromCoroutine(each) for each in asked]
        try:
            return await gatherResults(running, consumeErrors=True)
        except FirstError as problem:
            problem.subFailure.raiseException()

    async def plain(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Reply:
        """A request without a signature; raises `NoAnswer`."""
        return await self.send(method, path, headers, content)

    async def send(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        **how: Unpack[How],
    ) -> Reply:
        """Any request, recorded, on a connection of its own; raises `NoAnswer`.

        It is made again while the target limits requests, unless `takes_limit`: such a
        reply tells nothing of what was asked. Raises `NotTestable` where it always
        does, or where the pause that it names is too long.
        """
        tries = 1 if how.get("takes_limit") else _MAX_TRIES
        waited = 0.0
        reply = await self._send(method, target, headers, body, how)
        while reply.is_limited and (tries := tries - 1):
            waited += reply.pause
            if waited > _MAX_PAUSES:
                break
            await deferLater(self._ground.clock, reply.pause)
            reply = await self._send(method, target, headers, body, how)
        return reply if how.get("takes_limit") else unlimited(reply)

    async def _send(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        how: How,
    ) -> Reply:
        ours, seconds = how.get("ours"), how.get("seconds", _SECONDS)
        await self._ground.pace()
        exchange = self._open(method, target, ours)
        connection: Connection | None = None
        try:
            connection = await self.connect(ours)
            exchange.address = connection.address
            complete = self.complete(headers, body)
            if exchange.details is not None:
                exchange.details.tls = connection.tls
                exchange.details.request = Message.of(complete, body or b"")
            connection.send(head(method, target, complete) + (body or b""))
            reply = await connection.read(method, min(seconds, self._patience))
        except NoAnswer as problem:
            exchange.reason, exchange.error = "no_answer", str(problem)
            raise
        else:
            exchange.status, exchange.errcode = reply.status, reply.errcode
            if exchange.details is not None:
                exchange.details.response = Message.of(reply.headers, reply.body)
            return reply
        finally:
            if connection is not None:
                connection.close()
            exchange.close(exchange.status)

    def complete(
        self, headers: Sequence[tuple[str, str]], body: bytes | None
    ) -> list[tuple[str, str]]:
        """Headers with those that each request needs and these lack."""
        given = {name.lower() for name, _ in headers}
        usual = {
            "Host": self.route.host_header,
            "User-Agent": USER_AGENT,
            "Connection": "close",
            # A server may choose any coding where none is named.
            "Accept-Encoding": "identity",
        }
        if body is not None and "transfer-encoding" not in given:
            usual["Content-Length"] = str(len(body))
        missing = [each for each in usual.items() if each[0].lower() not in given]
        return [*missing, *headers]

    @property
    def route(self) -> Route:
        """The first way to the target."""
        return self._ground.routes[0]

    async def connect(
        self, ours: Ours | None = None, route: Route | None = None
    ) -> Connection:
        """A connection to the target, on which any bytes can be sent.

        Raises `NotConnected`. The check closes it.
        """
        server = "" if ours is None else ours.name.name
        return await self._ground.connect(server, route)

    def seen(self, ours: Ours) -> Seen:
        """What has arrived at a server of ours: requests, connections, questions."""
        name = ours.name.name
        record = self._ground.lab.record
        found = record.find(after=self._began_after)
        return Seen([each for each in found if each.exchange.server == name])

    async def until(self, look: Callable[[], _T], seconds: float) -> _T:
        """Wait until `look` finds something in the record; what it found at last."""
        clock, record = self._ground.clock, self._ground.lab.record
        end = clock.seconds() + seconds
        while not (found := look()):
            left = end - clock.seconds()
            if left <= 0:
                break
            changed: Deferred[None] = Deferred()

            def note(_: Entry, changed: Deferred[None] = changed) -> None:
                if not changed.called:
                    changed.callback(None)

            await record.wait(changed, note, left)
        return found

    async def wait_until(self, ts: int) -> None:
        """Wait for a time in milliseconds since 1970, at which a key ends perhaps."""
        await deferLater(self._ground.clock, max(0, ts - self.now_ts) / 1000)

    def share(self, ours: Ours) -> None:
        """Look at a server that other checks have as well, from now on."""
        self.names.add(ours.name.name)
        self._began_after = self._ground.lab.record.last_id

    def exchanges(self) -> list[Entry]:
        """All that the record has of this check."""
        return [
            each
            for each in self._ground.lab.record.find(after=self._began_after)
            if each.exchange.server in self.names
            or any(each.exchange is plain for plain in self._plain)
        ]

    def _open(self, method: str, target: str, ours: Ours | None) -> Exchange:
        path, _, _ = target.partition("?")
        exchange = self._shared.exchanges.open("request", "out", method, path)
        exchange.peer = self.name.name
        if ours is not None:
            exchange.server = ours.name.name
        self._plain.append(exchange)
        return exchange

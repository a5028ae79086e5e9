"""A server of ours in a room of the target, and what the target sends it.

Rules: another server of ours joins the room, or leaves it, so that the target has
something to send. The answers are a script; what arrived is in the record.

Specification: Server-server API, "Joining Rooms" and "Transactions".
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from twisted.internet.task import deferLater

from homeserver.conformance.check import TRUSTED_NAME, CheckOptions, room
from homeserver.conformance.documents import as_json
from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.joining import enter, join_room
from homeserver.conformance.membership_requests import id_of, make, put, sign
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NotTestable
from homeserver.conformance.target import Target
from homeserver.conformance.their_requests import content_of
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.net.exchange import Exchange
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.identifiers import EventId

SEND = "/_matrix/federation/v1/send/"

ROUTE = f"{SEND}{{txnId}}"

SECONDS = 20.0  # until what happens in a room has been sent


class Audience:
    """A server of ours that is told what happens in a room of the target."""

    def __init__(self, t: Target, version: str, joined: JoinedRoom) -> None:
        self._t = t
        self._version = version
        self.joined = joined
        self.ours: Ours = joined.ours
        self.most_at_once = 0
        """How many transactions waited for an answer at one time, at most."""

        self._waiting = 0

    @classmethod
    async def of(cls, t: Target, version: str, ours: Ours | None = None) -> "Audience":
        """One in the public room of a version; raises `NoAnswer`, `NotTestable`."""
        if ours is None:
            return cls(t, version, await enter(t, version))
        return cls(t, version, await join_room(t, t.facts.rooms[version], ours))

    @property
    def sent(self) -> Sequence[Exchange]:
        """The transactions that arrived, in their order; answered or not."""
        return self._t.seen(self.ours).at(SEND, "PUT")

    def answer(self, reply: Callable[[Request], Reply], seconds: float = 0.0) -> None:
        """Let it answer transactions so from now on, after some seconds."""
        clock = self._t.ground.clock

        async def answer(request: Request) -> Reply:
            self._waiting += 1
            self.most_at_once = max(self.most_at_once, self._waiting)
            try:
                await deferLater(clock, seconds)
            finally:
                self._waiting -= 1
            return reply(request)

        self._t.instruct(self.ours, answers={ROUTE: answer})

    async def newcomer(self) -> JoinedRoom:
        """Let another server of ours join; raises as `of`."""
        return await enter(self._t, self._version)

    async def leave(self, joined: JoinedRoom) -> EventId:
        """Let that one leave; the ID of the event. Raises as `of`."""
        t = self._t
        template = await make(t, joined.ours, "leave", joined.room_id)
        event = sign(t, joined.ours, template)
        left = await put(t, "leave", event)
        if not left.is_ok:
            raise NotTestable(f"our user cannot leave: {left}")
        return event.id

    async def told(
        self, event_id: EventId, seconds: float = SECONDS
    ) -> Sequence[Exchange]:
        """The transactions with an event, when there is one."""
        return await self._t.until(lambda: self.with_event(event_id), seconds)

    async def until_sent(
        self, number: int, seconds: float = SECONDS
    ) -> Sequence[Exchange]:
        """All transactions, when there are so many, or the time is over."""
        await self._t.until(lambda: len(self.sent) >= number, seconds)
        return self.sent

    def with_event(self, event_id: EventId) -> Sequence[Exchange]:
        """The transactions with an event, so far."""
        return [
            each for each in self.sent if event_id in self._ids_in(content_of(each))
        ]

    def refuse(self, request: Request) -> Reply:
        """The answer of a server that has an error for each event."""
        body = b""
        if request.content is not None:
            request.content.seek(0)
            body = request.content.read()
        content = parse_object(body)
        error = {"error": "it is not wanted here"}
        return json_reply({"pdus": dict.fromkeys(self._ids_in(content), error)})

    def _ids_in(self, content: Json) -> Sequence[EventId]:
        version = self.joined.version
        return [id_of(each, version) for each in items_in(content, "pdus")]


def items_in(content: Json, member: str) -> Sequence[Json]:
    """The objects of a list of a transaction: its `pdus` or `edus`."""
    found = content.get(member)
    return [as_json(each) for each in found] if isinstance(found, list) else []


def is_one(requests: Sequence[Exchange]) -> bool:
    """Whether some transactions are one, with the same bytes."""
    digests = {
        (txn_id(each), None if each.details is None else each.details.request.sha256)
        for each in requests
    }
    return len(digests) == 1


def gaps_between(requests: Sequence[Exchange]) -> str:
    """The seconds between the beginnings of some requests, in words."""
    pairs = pairwise(requests)
    return ", ".join(f"{b.began - a.began:.1f} s" for a, b in pairs) or "no other one"


def txn_id(request: Exchange) -> str:
    """The ID of a transaction, as its path has it."""
    return request.path.removeprefix(SEND).rstrip("/")


def in_room(version: str, waits: float = 0.0) -> CheckOptions:
    """What a check needs that is in the public room of a version."""
    return {
        "needs": [TRUSTED_NAME, room(version)],
        "after": [f"J20.v{version}"],
        "waits": waits,
    }

"""A room of ours that an invited user of the target joins.

Rules: the room is that of an invite, which is part of it. A template is the same for
each request; whatever join comes is taken, and judged afterwards by the record.

Specification: Server-server API, "Joining Rooms".
"""

from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec.structs import replace

from homeserver.conformance.invite import Invite
from homeserver.conformance.outcome import NotTestable
from homeserver.conformance.target import Target
from homeserver.conformance.their_events import Keys
from homeserver.conformance.their_events import problem_in as problem_in_event
from homeserver.conformance.their_requests import content_of, problem_in
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.net.exchange import Exchange
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import UserId
from homeserver.protocol.rooms.building import NewEvent

MAKE_JOIN = "/_matrix/federation/v1/make_join/"
SEND_JOIN = "/_matrix/federation/v2/send_join/"

# As the template has them: with others, it is another event.
_KEPT = ("room_id", "sender", "state_key", "depth", "prev_events", "auth_events")


class OpenedRoom:
    """The room, and the requests of the target about it."""

    def __init__(self, t: Target, invite: Invite) -> None:
        """`invite` was sent, and taken by the target."""
        self._t = t
        self.ours = invite.ours
        version = invite.room.room_version
        event = Event.parse(invite.event, version)
        self._user = UserId.parse(event.state_key or "")
        self._room = replace(invite.room, events=[*invite.room.events, event])
        join: Json = {"membership": "join"}
        new = NewEvent("m.room.member", self._user, join, self._user.user_id)
        self._template = self._room.build(new)
        t.instruct(
            self.ours,
            answers={
                f"{MAKE_JOIN}{{roomId}}/{{userId}}": self._propose,
                f"{SEND_JOIN}{{roomId}}/{{eventId}}": self._take,
            },
        )

    async def let_join(self) -> None:
        """Let set-up have the user join; raises `SetupFailed` and `NotTestable`."""
        setup = self._t.facts.setup
        if setup is None:
            raise NotTestable("use --setup, which lets its user join")
        await setup.make(
            "join",
            user_id=self._user.user_id,
            room_id=self._room.room_id,
            via=self.ours.name.name,
        )

    def seen(self, route: str, method: str) -> Sequence[Exchange]:
        """The requests to a route of it."""
        return self._t.seen(self.ours).at(route, method)

    def problems(self, keys: Keys) -> list[str]:
        """What is wrong with how the target joined; nothing if it is sound."""
        asked, sent = self.seen(MAKE_JOIN, "GET"), self.seen(SEND_JOIN, "PUT")
        if not (asked and sent):
            return ["no request for a template" if not asked else "no send_join"]
        version = self._room.room_version
        found = [problem_in(each, self._t.name, keys) for each in (asked[-1], sent[-1])]
        if version.version not in _versions(asked[-1]):
            found.append(f"make_join does not offer room version {version.version}")
        join = content_of(sent[-1])
        wrong = problem_in_event(join, version, self._t.name, keys)
        found.append(wrong)
        if wrong is None:
            event = Event.parse(join, version)
            named = unquote(sent[-1].path.rpartition("/")[2])
            if named != event.event_id:
                found.append(f"the path has another event ID than {event.event_id}")
        found += [
            f"`{each}` is not that of the template"
            for each in _KEPT
            if join.get(each) != self._template.get(each)
        ]
        content = join.get("content")
        is_join = isinstance(content, dict) and content.get("membership") == "join"
        if join.get("type") != "m.room.member" or not is_join:
            found.append("the event is no join")
        return [each for each in found if each is not None]

    def _propose(self, _: Request) -> Reply:
        version = self._room.room_version.version
        return json_reply({"room_version": version, "event": self._template})

    def _take(self, request: Request) -> Reply:
        state = [each.pdu for each in self._room.events]
        reply: Json = {
            "origin": self.ours.name.name,
            "state": state,
            "auth_chain": state,
            "members_omitted": False,
        }
        return json_reply(reply)


def _versions(request: Exchange) -> Sequence[str]:
    """The room versions that a request offers."""
    target = "" if request.details is None else request.details.target
    return parse_qs(urlsplit(target).query).get("ver", [])

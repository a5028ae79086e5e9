"""One invite of a user of the target to a room of ours, which a check may change.

Rules: the room is a new one of a new server. What a check leaves as it is makes a sound
invite. It is hashed and signed when it is sent.

Specification: Server-server API, "Inviting to a room".
"""

from collections.abc import Callable

from homeserver.conformance.our_room import OurRoom
from homeserver.conformance.reply import Reply, present
from homeserver.conformance.target import Target
from homeserver.outbound.targets import federation_target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import event_id, hash_and_sign


class Invite:
    """One invite: the room, the event, and what the request has around it."""

    def __init__(self, t: Target, version: str, user: str) -> None:
        self.target = t
        self.ours = t.server()
        self.room = OurRoom.create(self.ours, version, lambda: t.fresh("e"))
        self.pdu = self.room.invite(user)
        """Without hashes and signatures, which `body` adds."""

        self.signer, self.key = self.ours, self.ours.key
        self.room_id = self.room.room_id
        """The one of the path."""

        self.more: Json = {
            "room_version": version,
            "invite_room_state": self.room.shown_state,
        }
        """The other members of the body."""

        self.left_out: list[str] = []
        """Members of the body that are not sent."""

    @property
    def event(self) -> Json:
        """The event, hashed and signed."""
        version = self.room.room_version
        return hash_and_sign(self.pdu, version, self.signer.name, [self.key])

    async def send(self, *, is_v2: bool = True, takes_limit: bool = False) -> Reply:
        """The reply to it, by one of the two forms of the route.

        Raises `NotTestable` where it is not there, and as `Target.send`.
        """
        event = self.event
        state = self.room.shown_state
        body = {"event": event, **self.more}
        for member in self.left_out:
            del body[member]
        path = federation_target(
            "invite",
            self.room_id,
            event_id(event, self.room.room_version),
            base=f"/_matrix/federation/{'v2' if is_v2 else 'v1'}",
        )
        if not is_v2:
            body = {**event, "unsigned": {"invite_room_state": state}}
        reply = await self.target.request(
            self.ours, "PUT", path, content=body, takes_limit=takes_limit
        )
        return present(reply)


async def asked(
    t: Target,
    version: str,
    change: Callable[[Invite], object] = lambda _: None,
    *,
    is_v2: bool = True,
) -> tuple[Invite, Reply]:
    """An invite of the first user whose invites are not limited, and the reply.

    Where those of all are, a short pause of the last one is waited for. Raises
    `NotTestable` where it is long, and where there is no such route.
    """
    *others, last = t.facts.users
    for user in others:
        invite = Invite(t, version, user)
        change(invite)
        reply = await invite.send(is_v2=is_v2, takes_limit=True)
        if not reply.is_limited:
            return invite, reply
    invite = Invite(t, version, last)
    change(invite)
    return invite, await invite.send(is_v2=is_v2)

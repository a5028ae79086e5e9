"""Answers to servers that poll for the presence of our users, as in 2014.

Rules of the room: nobody is online here but the users that the configuration names.
An answer is a push; pushes are not answered, so that two servers never answer each
other without end.

Specification: the November 2014 text, "EDUs", "Presence".
"""

from collections.abc import Container, Sequence

from homeserver.outbound.delivery.sender import Sender
from homeserver.protocol.events.edus import build_presence
from homeserver.protocol.identifiers import ServerName, UserId

# Users that are told at once: what fits into an EDU of the usual size.
_MAX_USERS = 500


class PresenceAnswers:
    """Answers in the name of one server."""

    def __init__(
        self, server_name: ServerName, online: Container[str], sender: Sender
    ) -> None:
        """`online` has the IDs of the users who are."""
        self._server_name = server_name
        self._online = online
        self._sender = sender

    async def answer(self, asker: ServerName, polled: Sequence[UserId]) -> None:
        """Tell `asker` of the users that are ours; raises `StoreUnavailable`."""
        own = [each for each in polled if each.server_name == self._server_name]
        told = list(dict.fromkeys(own))[:_MAX_USERS]
        if told:
            edu = build_presence((each, str(each) in self._online) for each in told)
            await self._sender.enqueue(asker, [], [edu])

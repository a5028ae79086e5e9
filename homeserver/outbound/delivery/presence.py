"""Answers to servers that poll for the presence of our users, as in 2014.

Rules: only the users in the configuration are online. An answer is a push; pushes are
not answered, so that two servers never answer each other in a loop.

Specification: the November 2014 text, "EDUs", "Presence".
"""

from collections.abc import Container, Sequence

from homeserver.outbound.delivery.outgoing import Outgoing
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.edus import build_presence, polled_users
from homeserver.protocol.identifiers import ServerName

# Users in one answer, which fit into an EDU of the usual size.
_MAX_USERS = 500


class PresenceAnswers:
    """Answers of one server."""

    def __init__(
        self, server_name: ServerName, online: Container[str], outgoing: Outgoing
    ) -> None:
        """`online` has the IDs of the users that are online."""
        self._server_name = server_name
        self._online = online
        self._outgoing = outgoing

    async def answer(self, asker: ServerName, edus: Sequence[Json]) -> None:
        """Send `asker` the presence of our users that its checked EDUs ask for.

        Raises `StoreUnavailable`.
        """
        polled = [user for edu in edus for user in polled_users(edu)]
        own = [each for each in polled if each.server_name == self._server_name]
        users = list(dict.fromkeys(own))[:_MAX_USERS]
        if users:
            edu = build_presence((each, str(each) in self._online) for each in users)
            await self._outgoing.enqueue(asker, [], [edu])

"""A server with rooms whose answers rules of a lab make wrong, in memory."""

from collections.abc import Awaitable, Callable, Mapping
from random import Random

from msgspec.structs import replace

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route
from homeserver.lab.rules.rule import RuleBody
from homeserver.lab.rules.rules import ALL, Rules
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import SigningKey
from homeserver.rooms.policy_desk import PolicyDesk
from tests.support.one_server import OnlyServer
from tests.support.our_names import OUR_NAME
from tests.support.room_side import RoomSide
from tests.support.signed_requests import signing_key


class OurKeys:
    """The keys of the server."""

    def __init__(self, desk: Callable[[], PolicyDesk]) -> None:
        """`desk` is called when a fault needs it: routes are made before it is."""
        self._desk = desk

    def signing(self, server: str) -> list[SigningKey]:
        """The one that signs."""
        assert server == OUR_NAME.name
        return [signing_key()]

    def spare(self, server: str, key_id: KeyId) -> SigningKey:
        """One that nothing publishes."""
        return SigningKey(key_id, signing_key("spare", b"z").key)

    def policy(self, server: str) -> SigningKey | None:
        """That of the server as a policy server."""
        return self._desk().key


class FaultySide(RoomSide):
    """A site that answers about rooms of ours, with rules."""

    def more_routes(self, servers: OnlyServer) -> list[Route]:
        """The routes about rooms."""
        self.own_keys = OurKeys(lambda: self.desk)
        self.rules = Rules(self.clock, Random(1), self.own_keys)
        found = super().more_routes(servers)
        return [replace(each, answer=self._wrapped(each)) for each in found]

    def _wrapped(self, route: Route) -> Answer:
        answer = self.rules.wrap(route)

        def named(request: Request) -> "Reply | Awaitable[Reply]":
            request.exchange.server = OUR_NAME.name
            return answer(request)

        return named

    def put(self, do: Mapping[str, object]) -> None:
        """Put a rule in force in place of the others; without faults, none."""
        self.rules.replace(ALL, [RuleBody(dict(do))] if do else [])

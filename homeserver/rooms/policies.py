"""The policy servers of rooms, as one of our servers asks them.

Rules: a policy server is asked once about an event, and its signature is checked by the
key in the room's state. Without that signature an event of ours is not sent. Where our
own server is the policy server, its desk signs, without a request.

Specification: Server-server API, "Policy Servers".
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.calls import Call, FederationCalls
from homeserver.outbound.client import Limits
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Forbidden, ProtocolError
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.policy import PolicyServer, needs_policy
from homeserver.protocol.rooms.state import StateMap
from homeserver.rooms.policy_desk import PolicyDesk

SIGN = "/_matrix/policy/v1/sign"

_LIMITS = Limits(100_000, 30.0)  # seconds: as long as Synapse waits

Recommend = Callable[[Event, StateMap, Cause], Coroutine[Deferred[Any], Any, Event]]
"""An event with the signature of the policy server that a state names, if any.

Raises `Forbidden` where there is none to be had.
"""


class PolicyServerSilent(Forbidden):
    """The policy server did not answer."""


async def not_asked(event: Event, _: StateMap, __: Cause) -> Event:
    """As `Recommend`, where no server is asked."""
    return event


class Policies:
    """Asks policy servers, for one of our servers."""

    def __init__(self, calls: Callable[[], FederationCalls], desk: PolicyDesk) -> None:
        """`calls` is called for the first request; `desk` is that of our server."""
        self._calls = calls
        self._desk = desk

    async def recommend(
        self, event: Event, current: StateMap, cause: Cause = OURSELVES
    ) -> Event:
        """As `Recommend`; raises `PolicyServerSilent` where the server is silent."""
        policy = PolicyServer.of(current)
        if policy is None or not needs_policy(event) or policy.has_signed(event):
            return event
        try:
            return policy.add_signature(event, await self._ask(policy, event, cause))
        except ProtocolError as problem:
            if isinstance(problem, Forbidden):
                raise
            raise Forbidden(f"the policy server's reply is wrong: {problem}") from None

    async def _ask(self, policy: PolicyServer, event: Event, cause: Cause) -> Json:
        if policy.name == self._desk.server_name:
            return self._desk.sign(event)
        call = Call(
            method="POST", path=SIGN, route=SIGN, content=event.pdu, limits=_LIMITS
        )
        try:
            return await self._calls().ask(policy.name, call, cause)
        except Refused as problem:
            told = problem.explanation.after("the policy server does not sign it: ")
            raise Forbidden(told.public, told.in_full) from None
        except Unreachable as problem:
            told = problem.explanation.after("the policy server does not answer: ")
            raise PolicyServerSilent(told.public, told.in_full) from None

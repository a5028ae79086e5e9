"""Policy servers: whose opinion a room asks of each event, and its signature.

Rules: the authorization rules and state resolution know nothing of it. The key stands
in the state of the room; the keys that the server publishes have no say. An event of
ours without the signature is not sent, a received one without it is soft-failed.

Specification: Server-server API, "Policy Servers" (1.18).
"""

from dataclasses import dataclass
from typing import Self

from homeserver.protocol.canonical import as_object, decode_base64
from homeserver.protocol.errors import BadJson, ProtocolError, Unauthorized
from homeserver.protocol.events import Event
from homeserver.protocol.names import KeyId, ServerName
from homeserver.protocol.rooms.state import StateKey, StateMap, has_user_with
from homeserver.protocol.signing import VerifyKey

POLICY: StateKey = ("m.room.policy", "")

KEY_ID = KeyId("ed25519:policy_server")


@dataclass(frozen=True, slots=True)
class PolicyServer:
    """The policy server of a room."""

    name: ServerName
    key: VerifyKey

    @classmethod
    def of(cls, state: StateMap) -> Self | None:
        """The one that the current state of a room names; None if it uses none.

        It counts only if a user of it is in the room: no room makes a server its
        policy server against that server's will.
        """
        event = state.get(POLICY)
        if event is None:
            return None
        via, keys = event.content.get("via"), event.content.get("public_keys")
        text = keys.get("ed25519") if isinstance(keys, dict) else None
        if not isinstance(via, str) or not isinstance(text, str):
            return None
        try:
            name, key = ServerName.parse(via), VerifyKey.parse(KEY_ID, text)
        except ProtocolError:
            return None
        return cls(name, key) if has_user_with(state, name, {"join"}) else None

    def has_signed(self, event: Event) -> bool:
        """Whether an event has the signature of this policy server."""
        return self._verifies(event, event.pdu["signatures"])

    def add_signature(self, event: Event, reply: object) -> Event:
        """An event with the signature that the policy server answered with.

        Raises `BadJson` where the reply has no such signature, `Unauthorized` where it
        does not verify.
        """
        signatures = as_object(reply, "the policy server's reply")
        of_server = as_object(
            signatures.get(self.name.name), f"the part of {self.name}"
        )
        if KEY_ID not in of_server:
            raise BadJson(f"{self.name} did not sign as {KEY_ID}")
        if not self._verifies(event, signatures):
            raise Unauthorized(
                f"signature does not verify: {KEY_ID} of {self.name} over event "
                f"{event.event_id}"
            )
        # The policy server may be the sender's own, which has signed already.
        old = as_object(event.pdu["signatures"], "`signatures`")
        own = as_object(old.get(self.name.name, {}), "`signatures` of one server")
        merged = {**old, self.name.name: {**own, KEY_ID: of_server[KEY_ID]}}
        return Event.parse({**event.pdu, "signatures": merged}, event.room_version)

    def _verifies(self, event: Event, signatures: object) -> bool:
        of_server = (
            signatures.get(self.name.name) if isinstance(signatures, dict) else None
        )
        text = of_server.get(KEY_ID) if isinstance(of_server, dict) else None
        if not isinstance(text, str):
            return False
        try:
            return self.key.verify(event.signed, decode_base64(text))
        except BadJson:
            return False


def needs_policy(event: Event) -> bool:
    """Whether an event needs a policy server's signature, where the room uses one.

    All do but the event that names the policy server, so that a room can always part
    with one that does not answer.
    """
    return (event.type, event.state_key) != POLICY


def is_recommended(event: Event, current: StateMap) -> bool:
    """The seventh check on receipt: whether an event goes on without a soft failure.

    Where it does not, the policy server is asked for a signature, once.
    """
    policy = PolicyServer.of(current)
    return policy is None or not needs_policy(event) or policy.has_signed(event)

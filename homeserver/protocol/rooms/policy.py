"""Policy servers: the server that checks each event of a room, and its signature.

Rules: authorization and state resolution do not depend on policy servers. The state of
the room has the key; the published keys of the server are not used. An event of ours
without the signature is not sent; a received one is soft-failed.

Specification: Server-server API, "Policy Servers" (1.18).
"""

from dataclasses import dataclass
from typing import Self

from homeserver.protocol.canonical_json import as_object, decode_base64
from homeserver.protocol.errors import MISSING, BadJson, ProtocolError, Unauthorized
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.receipt import Outcome, Receipt
from homeserver.protocol.rooms.rules import named
from homeserver.protocol.rooms.state import StateKey, StateMap, has_user_with
from homeserver.protocol.signing import POLICY_KEY_ID, VerifyKey

POLICY: StateKey = ("m.room.policy", "")


@dataclass(frozen=True, slots=True)
class PolicyServer:
    """The policy server of a room, by name and key."""

    name: ServerName
    key: VerifyKey

    @classmethod
    def of(cls, state: StateMap) -> Self | None:
        """The policy server in the current state of a room; None if it uses none.

        A user of the server must be in the room: a room cannot make a server its policy
        server against that server's will.
        """
        event = state.get(POLICY)
        if event is None:
            return None
        via, keys = event.content.get("via"), event.content.get("public_keys")
        text = keys.get("ed25519") if isinstance(keys, dict) else None
        if not isinstance(via, str) or not isinstance(text, str):
            return None
        try:
            name, key = ServerName.parse(via), VerifyKey.parse(POLICY_KEY_ID, text)
        except ProtocolError:
            return None
        return cls(name, key) if has_user_with(state, name, {"join"}) else None

    def has_signed(self, event: Event) -> bool:
        """Whether an event has the signature of this policy server."""
        return self._verifies(event, event.pdu["signatures"])

    def add_signature(self, event: Event, reply: object) -> Event:
        """Add the signature in the policy server's reply to an event.

        Raises `BadJson` if the reply has no such signature, `Unauthorized` if it does
        not verify.
        """
        signatures = as_object(reply, "the policy server's reply")
        of_server = as_object(
            signatures.get(self.name.name, MISSING), f"the part of {self.name}"
        )
        if POLICY_KEY_ID not in of_server:
            raise BadJson(f"{self.name} did not sign as {POLICY_KEY_ID}")
        if not self._verifies(event, signatures):
            raise Unauthorized(
                f"signature does not verify: {POLICY_KEY_ID} of {self.name} over event "
                f"{named(event.event_id)}"
            )
        # The policy server may be the sender's own, which has signed already.
        old = as_object(event.pdu["signatures"], "`signatures`")
        own = as_object(old.get(self.name.name, {}), "`signatures` of one server")
        merged = {
            **old,
            self.name.name: {**own, POLICY_KEY_ID: of_server[POLICY_KEY_ID]},
        }
        return Event.parse({**event.pdu, "signatures": merged}, event.room_version)

    def _verifies(self, event: Event, signatures: object) -> bool:
        of_server = (
            signatures.get(self.name.name) if isinstance(signatures, dict) else None
        )
        text = of_server.get(POLICY_KEY_ID) if isinstance(of_server, dict) else None
        if not isinstance(text, str):
            return False
        try:
            return self.key.verify(event.signed, decode_base64(text))
        except BadJson:
            return False


def needs_policy(event: Event) -> bool:
    """Whether an event needs the signature, in a room that uses a policy server.

    All events do except the one that names the policy server, so that a room can
    always remove a policy server that does not answer.
    """
    return (event.type, event.state_key) != POLICY


def apply_policy(receipt: Receipt, event: Event, current: StateMap) -> Receipt:
    """The outcome of an event after the seventh check, which the current state decides.

    An event that passed the others is soft-failed without the signature.
    """
    if receipt.outcome is not Outcome.ACCEPTED or is_recommended(event, current):
        return receipt
    name = current[POLICY].content["via"]  # it names a server, or none would be needed
    why = f"the policy server {name} did not sign it"
    return Receipt(Outcome.SOFT_FAILED, 7, NotAllowed("", why))


def is_recommended(event: Event, current: StateMap) -> bool:
    """The seventh check on receipt; an event that fails it is soft-failed.

    Before that, the caller asks the policy server for a signature once.
    """
    policy = PolicyServer.of(current)
    return policy is None or not needs_policy(event) or policy.has_signed(event)

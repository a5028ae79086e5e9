"""The policy server of a room, in memory."""

from collections.abc import Callable

import nacl.signing

from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.calls import Call
from homeserver.protocol.canonical_json import Json, as_object, encode_base64
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing import POLICY_KEY_ID, SigningKey
from tests.support.signed_requests import THEM

KEY = SigningKey(POLICY_KEY_ID, nacl.signing.SigningKey(b"p" * 32))

VERSION = ROOM_VERSIONS["11"]


def reply(event: Event, key: SigningKey = KEY, name: object = None) -> Json:
    """What a policy server answers."""
    signature = encode_base64(key.sign(event.signed))
    return {str(name or THEM.server_name): {POLICY_KEY_ID: signature}}


class PolicyCalls:
    """A policy server that signs, unless a test decides otherwise."""

    def __init__(self) -> None:
        self.asked: list[Event] = []
        self.answer: Callable[[Event], Json] = reply

    async def ask(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> Json:
        """As `FederationCalls`."""
        assert destination == THEM.server_name
        assert (call.method, call.path) == ("POST", "/_matrix/policy/v1/sign")
        event = Event.parse(as_object(call.content, "the event"), VERSION)
        self.asked.append(event)
        return self.answer(event)


def policy(key: SigningKey = KEY, via: object = None) -> Json:
    """The content of `m.room.policy`."""
    public = encode_base64(key.verify_key.key)
    return {
        "via": str(via or THEM.server_name),
        "public_keys": {"ed25519": public},
    }

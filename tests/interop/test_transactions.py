"""Transactions that Synapse's users cause, and what ours send to them."""

import json

from tests.interop.conftest import Pair
from tests.support.eventually import eventually
from tests.support.synapse_users import User


def test_what_we_send_reaches_its_user(pair: Pair, alice: User) -> None:
    """A message to a device, sent by `homeserver send`, is there for her to sync."""
    bob = f"@bob:{pair.ours.name}"
    edu = json.dumps(alice.message_from(bob))
    [state] = pair.ours.ask("send", pair.synapse.name, "--edu", edu)
    assert (state["state"], state["reply"]) == ("delivered", {"pdus": {}})
    assert state["connection"]["verified_by"] == "certificate"
    eventually(lambda: bob in alice.senders())


def test_what_its_user_sends_reaches_us(pair: Pair, alice: User) -> None:
    """A message of hers to a device of ours is received, with nothing wrong in it."""
    messages = {f"@bob:{pair.ours.name}": {"*": {"said": "hello"}}}
    alice.do("PUT", "sendToDevice", "m.test", "to-bob", content={"messages": messages})
    [transaction] = eventually(
        lambda: [
            each
            for each in pair.ours.ask("received", "--origin", pair.synapse.name)
            for edu in each["edus"]
            if edu["edu_type"] == "m.direct_to_device"
        ]
    )
    assert transaction["verified_by"] == {
        "key_id": pair.as_synapse.key.key_id,
        "client_certificate": None,  # Synapse shows none
    }
    assert transaction["problems"] == []
    [edu] = transaction["edus"]
    assert edu["content"]["messages"] == messages
    assert edu["content"]["sender"] == alice.user_id

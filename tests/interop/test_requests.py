"""Signed requests between Synapse and us, right ones and wrong ones, both ways.

What Synapse says to a wrong one stands here word for word: it is what an implementer
has to go by who meets it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from nacl.signing import SigningKey as NaclSigningKey

from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey
from scripts.processes import free_ports
from tests.interop.conftest import Pair
from tests.support.synapse_servers import FORGED, Signer, ask
from tests.support.synapse_users import User

FEDERATION = "/_matrix/federation/v1"
TARGET = f"{FEDERATION}/send/wrong"
CONTENT: dict[str, Any] = {"edus": [{"edu_type": "m.test", "content": {}}]}


def test_it_accepts_our_signature(pair: Pair, alice: User) -> None:
    """It answers a request for a profile that is signed by a key that it fetches."""
    target = f"{FEDERATION}/query/profile?user_id={alice.user_id}"
    found = pair.as_ours.ask(pair.as_synapse.name, "GET", target)
    assert found == (200, {"displayname": "alice"})


def test_it_accepts_an_empty_transaction(pair: Pair) -> None:
    """It takes a transaction with nothing in it, and says so each time."""
    content = {"origin": pair.ours.name, "origin_server_ts": 1, "pdus": []}
    for _ in range(2):
        found = pair.as_ours.ask(
            pair.as_synapse.name, "PUT", f"{FEDERATION}/send/empty", content
        )
        assert found == (200, {"pdus": {}})


def test_we_accept_its_signature(pair: Pair, alice: User) -> None:
    """Its users see the profiles of ours, for which it asks us."""
    bob = f"@bob:{pair.ours.name}"
    avatar = f"mxc://{pair.ours.name}/bob"
    assert alice.do("GET", "profile", bob) == {
        "displayname": "Bob",
        "avatar_url": avatar,
    }
    assert alice.do("GET", "profile", bob, "displayname") == {"displayname": "Bob"}
    assert alice.do("GET", "profile", bob, "avatar_url") == {"avatar_url": avatar}


def test_it_passes_on_what_we_say(pair: Pair, alice: User) -> None:
    """Our answer for a missing user is what its user reads."""
    nobody = f"@nobody:{pair.ours.name}"
    status, answer = alice.ask("GET", "profile", nobody)
    assert (status, answer["errcode"]) == (404, "M_NOT_FOUND")
    assert answer["error"] == f"there is no user '{nobody}' here"


@dataclass(frozen=True)
class Question:
    """A signed request as it is sent; at first, a right one."""

    signer: Signer
    destination: ServerName
    method: str = "PUT"
    target: str = TARGET
    content: dict[str, Any] | None = None

    def sign(self) -> list[str]:
        """Its `Authorization` headers."""
        return self.signer.sign(
            self.destination, self.method, self.target, self.content
        )


Headers = Callable[[Question], list[str]]


def by_another_key(question: Question) -> list[str]:
    """Signed by a key that has the ID of the right one."""
    key_id = question.signer.key.key_id
    return _signed_by(question, key_id)


def by_an_unpublished_key(question: Question) -> list[str]:
    """Signed by a key of which the server has said nothing."""
    return _signed_by(question, KeyId("ed25519:secret"))


def _signed_by(question: Question, key_id: KeyId) -> list[str]:
    key = SigningKey(key_id, NaclSigningKey(b"1" * 32))
    return replace(question, signer=replace(question.signer, key=key)).sign()


def of_nobody(question: Question) -> list[str]:
    """Signed in the name of a server that does not run."""
    name = ServerName.parse(f"localhost:{free_ports(1)[0]}")
    return replace(question, signer=replace(question.signer, name=name)).sign()


NO_KEY = "Failed to find any key to satisfy: _FetchKeyRequest(server_name='"
NO_KEY_HERE = (
    "no usable key ed25519:secret of {origin}; known keys of {origin}: {key_id}"
)
DOES_NOT_VERIFY = "signature does not verify: {key_id} of {origin} over PUT "

WRONG: dict[str, tuple[Headers, int, str, str]] = {
    # how it is signed, the status, what Synapse says, what we say
    "unsigned": (
        lambda _: [],
        401,
        "Missing Authorization headers",
        "the request has no X-Matrix Authorization header",
    ),
    "malformed": (
        lambda _: ["X-Matrix nonsense"],
        400,
        "Malformed Authorization header",
        "the X-Matrix header is not a list of name=value at ",
    ),
    "for another server": (
        lambda q: replace(q, destination=ServerName.parse("other.test")).sign(),
        401,
        "Destination mismatch in auth header, received: 'other.test'",
        "the request is for 'other.test'; this server is {destination}",
    ),
    "another target": (
        lambda q: replace(q, target=f"{TARGET}2").sign(),
        401,
        FORGED,
        DOES_NOT_VERIFY,
    ),
    "another method": (
        lambda q: replace(q, method="POST").sign(),
        401,
        FORGED,
        DOES_NOT_VERIFY,
    ),
    "another body": (
        lambda q: replace(q, content={"edus": []}).sign(),
        401,
        FORGED,
        DOES_NOT_VERIFY,
    ),
    "another key": (by_another_key, 401, FORGED, DOES_NOT_VERIFY),
    "an unpublished key": (
        by_an_unpublished_key,
        401,
        NO_KEY + "{origin}', minimum_valid_until_ts=",
        NO_KEY_HERE,
    ),
    "a server that is not there": (
        of_nobody,
        401,
        NO_KEY + "localhost:",
        "no usable key {key_id} of localhost:",
    ),
}


@pytest.mark.parametrize("is_ours", [True, False], ids=["to us", "to Synapse"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_requests_are_refused(
    pair: Pair, wrong: tuple[Headers, int, str, str], *, is_ours: bool
) -> None:
    """Both refuse them with the same status and errcode, and say why."""
    headers, expected, *texts = wrong
    signer, asked = pair.as_ours, pair.as_synapse.name
    if is_ours:
        signer, asked = pair.as_synapse, pair.as_ours.name
    question = Question(signer, asked, content=CONTENT)
    status, answer = ask(asked, "PUT", TARGET, CONTENT, headers(question))
    assert (status, answer["errcode"]) == (expected, "M_UNAUTHORIZED")
    said = texts[is_ours].format(
        origin=signer.name, key_id=signer.key.key_id, destination=asked
    )
    assert answer["error"].startswith(said)

"""What a server is told that polls for presence."""

from collections.abc import Sequence
from typing import cast

from homeserver.outbound.delivery.outgoing import Outgoing
from homeserver.outbound.delivery.presence import PresenceAnswers
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from tests.support.coroutines import result_of

US, THEM = map(ServerName.parse, ["us.example", "them.example"])


class Outbox:
    """Takes what is to be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[ServerName, Json]] = []

    async def enqueue(
        self, destination: ServerName, pdus: Sequence[Json], edus: Sequence[Json]
    ) -> int:
        """As `Outgoing`."""
        assert list(pdus) == []
        [edu] = edus
        self.sent.append((destination, edu))
        return len(self.sent)


def told(*polled: str) -> list[tuple[ServerName, list[tuple[object, object]]]]:
    """What each caller learns."""
    outbox = Outbox()
    answers = PresenceAnswers(US, {"@on:us.example": 1}, cast("Outgoing", outbox))
    poll: Json = {"edu_type": "m.presence", "content": {"poll": list(polled)}}
    other: Json = {"edu_type": "m.typing", "content": {}}
    result_of(answers.answer(THEM, [other, poll]))
    found = []
    for destination, edu in outbox.sent:
        content = cast("dict[str, list[Json]]", edu["content"])
        pushed = [(each["user_id"], each["presence"]) for each in content["push"]]
        found.append((destination, pushed))
    return found


def test_users_of_ours() -> None:
    """Users with a profile are online, others of ours are not, each is told once."""
    asked = ["@off:us.example", "@on:us.example", "@off:us.example"]
    expected = [("@off:us.example", "offline"), ("@on:us.example", "online")]
    assert told(*asked) == [(THEM, expected)]


def test_users_of_others() -> None:
    """Of users of other servers nothing is known, and nothing is sent."""
    assert told("@a:them.example", "@a:us.example:8448") == []


def test_many_users() -> None:
    """However many are asked for, five hundred are told."""
    [(_, pushed)] = told(*(f"@u{number}:us.example" for number in range(501)))
    assert len(pushed) == 500

"""How much a reply to a join may have: events, values and servers.

Rules: what is beyond a bound is refused before it costs memory or requests.
"""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import NoServerHelps
from homeserver.rooms.checking import MAX_SIGNERS
from homeserver.rooms.join_reply import MAX_EVENTS
from homeserver.rooms.question import Question
from tests.support.join_replies import answer
from tests.support.neighbours import Neighbours


def test_too_many_events() -> None:
    """A reply with more events than the limit is refused by their number alone."""
    near = Neighbours()

    def many(question: Question) -> Json:
        reply: Any = answer(near, question)
        reply["auth_chain"] *= MAX_EVENTS // len(reply["auth_chain"]) + 1
        return reply  # type: ignore[no-any-return]

    near.calls.instead["send_join"] = many
    with pytest.raises(NoServerHelps, match=f"{MAX_EVENTS} are joined here at most"):
        near.join()


def test_too_many_values() -> None:
    """A reply that would take much more memory than bytes is refused unread."""
    near = Neighbours()
    near.calls.instead["send_join"] = lambda _: b'{"x":[' + b"[]," * 2_000_001 + b"0]}"
    with pytest.raises(NoServerHelps, match="values"):
        near.join()


@pytest.mark.parametrize(
    "naming",
    [
        lambda user: {"sender": user},
        lambda user: {"content": {"join_authorised_via_users_server": user}},
    ],
)
def test_too_many_servers(naming: Callable[[str], Json]) -> None:
    """The keys of a bounded number of servers are fetched for one reply."""
    near = Neighbours()
    topic = near.send("m.room.topic", {"topic": "T"}, "")

    def crowd(question: Question) -> Json:
        reply: Any = answer(near, question)
        reply["auth_chain"] += [
            {**topic.pdu, **naming(f"@a:s{number}.example")}
            for number in range(MAX_SIGNERS)
        ]
        return reply  # type: ignore[no-any-return]

    near.calls.instead["send_join"] = crowd
    with pytest.raises(NoServerHelps, match=f"the keys of {MAX_SIGNERS}"):
        near.join()

"""What a server of ours answers about a gap in a room of the target."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from homeserver.conformance.gap_answers import MISSING, STATE, GapAnswers
from homeserver.conformance.reply import Reply
from homeserver.protocol.canonical_json import Json
from tests.support.our_names import OUR_NAME

V1 = "/_matrix/federation/v1"
STATE_IDS = f"{STATE[0]}{{roomId}}"
WHOLE_STATE = f"{STATE[1]}{{roomId}}"
EVENT = f"{V1}/event/{{eventId}}"

CREATE, JOIN, FOUND, FILLING = (Json(n=number) for number in range(4))


def answers(*, has_state: bool = False) -> GapAnswers:
    """Those of a member of a room with one state event and one in its auth chain."""
    chain = msgspec.json.encode({"auth_chain": [CREATE, "no event"]})
    joined = SimpleNamespace(
        id_of=lambda pdu: f"${pdu['n']}",
        state={("m.room.member", "@a:b"): SimpleNamespace(pdu=JOIN)},
        member=SimpleNamespace(reply=Reply(200, [], chain)),
        ours=SimpleNamespace(name=OUR_NAME, now_ts=7),
    )
    return GapAnswers(cast("Any", joined), [FILLING], [FOUND], has_state=has_state)


def ask(given: GapAnswers, template: str, event_id: bytes = b"") -> tuple[int, Json]:
    """The status and the content of an answer."""
    request = SimpleNamespace(parameters={"eventId": event_id})
    reply = cast("Any", given.answers[template](cast("Any", request)))
    return reply.status, msgspec.json.decode(reply.body)


def transaction(*pdus: Json) -> Json:
    """Events as `event` and `backfill` answer with them."""
    return {"origin": OUR_NAME.name, "origin_server_ts": 7, "pdus": list(pdus)}


KNOWN: list[tuple[str, bytes, Json]] = [
    (f"{MISSING}{{roomId}}", b"", {"events": [FILLING]}),
    (f"{V1}/backfill/{{roomId}}", b"", transaction()),
    (EVENT, b"$2", transaction(FOUND)),
    (STATE_IDS, b"", {"pdu_ids": ["$1"], "auth_chain_ids": ["$0"]}),
    (WHOLE_STATE, b"", {"pdus": [JOIN], "auth_chain": [CREATE]}),
]


@pytest.mark.parametrize(("template", "event_id", "content"), KNOWN)
def test_what_there_is(template: str, event_id: bytes, content: Json) -> None:
    """A target may ask for the state as a whole, or for its IDs."""
    assert ask(answers(has_state=True), template, event_id) == (200, content)


@pytest.mark.parametrize("template", [EVENT, STATE_IDS, WHOLE_STATE])
def test_what_there_is_not(template: str) -> None:
    """Another event than the known ones, and a state that is not given."""
    status, content = ask(answers(), template, b"$1")
    assert (status, content["errcode"]) == (404, "M_NOT_FOUND")

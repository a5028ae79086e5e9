"""The route that forgets what is stored."""

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.storage.peers import Peer
from tests.support.control_side import NOW, Panel
from tests.support.coroutines import result_of
from tests.support.http_connection import Answer
from tests.support.manual_sender import US
from tests.support.signed_requests import THEM


def forget(panel: Panel, query: str) -> Answer:
    """Ask to forget; the answer, which takes some turns of the reactor."""
    connection = panel.begin("DELETE", f"/v1/state{query}")
    panel.clock.pump([0] * 50)
    [answer] = connection.answers()
    return answer


def filled() -> Panel:
    """A panel with a peer and a queue."""
    panel = Panel()
    pins = {THEM.key.key_id: THEM.key.verify_key}
    ts = int(NOW * 1000)
    peer = Peer(THEM.server_name, "key-document", "ab" * 32, pins, ts, ts)
    assert result_of(panel.peers.record_verified(peer, None, None))
    assert panel.ask("POST", "/v1/send/them.example", {}).status == 202
    return panel


def peers(panel: Panel) -> object:
    """The peers that are listed."""
    return panel.ask("GET", "/v1/peers").json["peers"]


ALL = "queue,received,refused,pins,keys,caches"

# (query, how much is forgotten of each kind)
FORGOTTEN: list[tuple[str, Json]] = [
    ("?of=queue", {"queue": 1}),
    ("?of=pins", {"pins": 1}),
    (f"?of=pins&server={US}", {"pins": 1}),
    ("?of=keys,pins,keys", {"keys": 0, "pins": 1}),
    (f"?of={ALL}", {**dict.fromkeys(ALL.split(","), 0), "queue": 1, "pins": 1}),
]


@pytest.mark.parametrize(("query", "expected"), FORGOTTEN)
def test_forgotten(query: str, expected: Json) -> None:
    """What is forgotten is counted by kind, and is gone."""
    panel = filled()
    answer = forget(panel, query)
    assert (answer.status, answer.json) == (200, {"forgotten": expected})
    again = forget(panel, query)
    assert again.json == {"forgotten": dict.fromkeys(expected, 0)}
    if query.startswith(f"?of={ALL}"):
        assert peers(panel) == []


def test_memories_forget_too() -> None:
    """The other parts look again for a peer whose pins are gone."""
    panel = filled()
    forget(panel, "?of=pins")
    assert panel.forgotten == [THEM.server_name]


# (query, status, what the answer says)
REFUSED = [
    ("", 400, "caches, keys, pins, queue, received, refused"),
    ("?of=", 400, "caches, keys"),
    ("?of=queue,all", 400, "'all' is none of them"),
    ("?of=queue&server=them.example", 404, f"there is {US}"),
    ("?kind=queue", 400, "known are of, server"),
]


@pytest.mark.parametrize(("query", "status", "said"), REFUSED)
def test_refused(query: str, status: int, said: str) -> None:
    """What is not understood forgets nothing, and names what there is."""
    panel = filled()
    before = peers(panel)
    answer = forget(panel, query)
    assert answer.status == status
    assert said in str(answer.json["error"])
    assert peers(panel) == before

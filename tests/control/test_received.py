"""The list of the transactions that were received.

Who goes on where the last page ended sees everything once, in order, and may wait for
what comes next.
"""

from collections.abc import Sequence

import pytest

from homeserver.config.values import Events
from homeserver.control.parameters import MAX_LIMIT, Page, read_query
from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.inbound.turns import Turns
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from tests.support.control_side import EDU, NOW_TS, Panel
from tests.support.coroutines import result_of
from tests.support.pdus import message
from tests.support.signed_requests import OTHERS, THEM, KnownKeys, Peer


async def no_effect(origin: ServerName, edus: Sequence[Json], cause: Cause) -> None:
    """What EDUs ask for is not done here."""


def deliver(panel: Panel, txn_id: str, *pdus: Json, peer: Peer = THEM) -> None:
    """Let a peer deliver a transaction."""
    pace = Pace(panel.clock)
    receiver = TransactionReceiver(
        panel.received,
        PduChecker(
            panel.received,
            KnownKeys(THEM, OTHERS),
            panel.clock,
            pace,
            Events(),
        ),
        no_effect,
        panel.clock,
        Turns(panel.clock, pace),
    )
    origin = ProvenOrigin(peer.server_name, peer.key.key_id)
    content: Json = {
        "origin": peer.server_name.name,
        "origin_server_ts": 1,
        "pdus": list(pdus),
        "edus": [EDU],
    }
    result_of(receiver.receive(origin, txn_id, content, OURSELVES))


def listed(panel: Panel, query: str = "") -> tuple[list[str], object]:
    """The transaction IDs that `/v1/received` lists, and where to go on."""
    answer = panel.ask("GET", f"/v1/received{query}").json
    assert isinstance(answer["transactions"], list)
    return [each["txn_id"] for each in answer["transactions"]], answer["next"]


def test_received_nothing() -> None:
    """Where nothing was received, there is nothing to go on from."""
    assert listed(Panel()) == ([], 0)


def test_received() -> None:
    """What was received is listed with its origin, its proof and its verdicts."""
    panel = Panel()
    pdu = message()
    deliver(panel, "a", pdu)
    answer = panel.ask("GET", "/v1/received").json
    assert isinstance(answer["transactions"], list)
    [transaction] = answer["transactions"]
    [recorded] = transaction.pop("pdus")
    assert transaction == {
        "id": 1,
        "origin": "them.example",
        "txn_id": "a",
        "received_ts": NOW_TS,
        "verified_by": {"key_id": "ed25519:t_1", "client_certificate": None},
        "edus": [EDU],
        "problems": [],
        "remarks": [],
    }
    assert (recorded["verdict"], recorded["event"]) == ("accepted", pdu)
    assert answer["next"] == 1


def test_received_page_by_page() -> None:
    """Who goes on where the last page ended sees everything once, in order."""
    panel = Panel()
    for txn_id in "abcde":
        deliver(panel, txn_id)
    assert listed(panel) == (list("abcde"), 5)
    assert listed(panel, "?limit=2") == (["a", "b"], 2)
    assert listed(panel, "?limit=2&after=2") == (["c", "d"], 4)
    assert listed(panel, "?limit=2&after=4") == (["e"], 5)
    assert listed(panel, "?limit=2&after=5") == ([], 5)
    assert listed(panel, "?after=99") == ([], 99)
    assert listed(panel, "?after=&limit=") == (list("abcde"), 5)


def test_received_of_one_origin() -> None:
    """The list can be of one origin, by its exact name."""
    panel = Panel()
    deliver(panel, "a")
    deliver(panel, "b", peer=OTHERS)
    deliver(panel, "c")
    assert listed(panel, "?origin=them.example") == (["a", "c"], 3)
    assert listed(panel, "?origin=others.example:8449") == (["b"], 2)
    assert listed(panel, "?origin=others.example") == ([], 0)
    assert listed(panel, "?origin=THEM.example") == ([], 0)
    assert listed(panel, "?origin=them.example&after=1&limit=1") == (["c"], 3)


def test_received_has_a_limit() -> None:
    """However many are asked for, an answer has no more than its limit."""
    for query, limit in ((b"", 100), (b"?limit=999999999", MAX_LIMIT)):
        assert read_query(Page, b"/v1/received" + query).limit == limit


def test_waits_for_what_is_next() -> None:
    """What was told before ends no waiting, nor does another origin's."""
    panel = Panel()
    deliver(panel, "a")
    waiting = panel.begin("GET", "/v1/received?wait=5&after=1&origin=them.example")
    deliver(panel, "b", peer=OTHERS)
    panel.clock.advance(4)
    assert waiting.answers() == []
    deliver(panel, "c")
    [answer] = waiting.answers()
    assert answer.json["next"] == 3
    waiting = panel.begin("GET", "/v1/received?wait=5&after=7")
    panel.clock.advance(5)
    [answer] = waiting.answers()
    assert answer.json == {"transactions": [], "next": 7}


BAD_ARGUMENTS = [
    "after=x",
    "after=-1",
    "after=1.0",
    "after=%2B1",
    "after=9999999999999999999",
    "after=1&after=2",
    "limit=x",
    "limit=-1",
    "limit=1&limit=1",
    "limit=%C2%B2",
    "wait=x",
    "wait=-1",
    "wait=nan",
    "wait=-inf",
    "wait=%ff",
    "wait=1&wait=2",
    "origin=a_b",
    "origin=%ff",
    "origin=",
    "origin=a.org&origin=b.org",
]


@pytest.mark.parametrize("query", BAD_ARGUMENTS)
def test_bad_arguments(query: str) -> None:
    """An argument that cannot be read is refused."""
    answer = Panel().ask("GET", f"/v1/received?{query}")
    assert answer.error == (400, "M_INVALID_PARAM")

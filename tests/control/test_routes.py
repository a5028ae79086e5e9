"""The routes of the control API, and what each of them answers."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config.values import Events
from homeserver.control.parameters import MAX_LIMIT, Page, read_query
from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.inbound.turns import Turns
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.cooperate import Pace
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.discovery import Resolution
from homeserver.protocol.identifiers import ServerName
from tests.support.control_side import AUTHORIZATION, HOST, NOW, Panel
from tests.support.coroutines import result_of
from tests.support.http_connection import Connection, ask, request
from tests.support.pdus import message
from tests.support.signed_requests import OTHERS, THEM, KnownKeys, Peer
from tests.support.tables import cases

NOW_TS = int(NOW * 1000)
EDU: Json = {"edu_type": "x.test", "content": {"typing": True}}
SEND = "/v1/send/them.example"


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


def test_healthy() -> None:
    """`/health` says that all is well."""
    answer = Panel().ask("GET", "/health")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_unhealthy() -> None:
    """`/health` is a 503 where something is not well."""
    panel = Panel()
    panel.is_healthy = False
    assert panel.ask("GET", "/health").status == 503


def test_send() -> None:
    """What is handed over is queued, and its number is told."""
    panel = Panel()
    for number in (1, 2):
        answer = panel.ask("POST", SEND, {"edus": [EDU]})
        assert (answer.status, answer.json) == (202, {"id": number})


def test_send_delivers() -> None:
    """What was queued goes to its destination, PDUs and EDUs together."""
    panel = Panel()
    panel.start()
    pdu = message()
    panel.ask("POST", "/v1/send/others.example%3A8449", {"pdus": [pdu], "edus": [EDU]})
    panel.clock.advance(0)
    [(destination, _, body)] = panel.carrier.sent
    assert destination == OTHERS.server_name
    assert (body["pdus"], body["edus"]) == ([pdu], [EDU])


BODIES: list[tuple[str, bytes | None, int, str, str]] = [
    ("none", None, 400, "M_NOT_JSON", "not JSON"),
    ("not JSON", b"{", 400, "M_NOT_JSON", "not JSON"),
    ("no object", b"[]", 400, "M_BAD_JSON", "not a JSON object"),
    ("an empty ID", b'{"txn_id":""}', 400, "M_BAD_JSON", "`txn_id`"),
    ("a long ID", b'{"txn_id":"%s"}' % (b"a" * 5000), 400, "M_INVALID_PARAM", "bytes"),
    ("again nothing", b'{"again":0}', 400, "M_BAD_JSON", "`again`"),
    ("again too much", b'{"again":%d}' % 10**18, 400, "M_BAD_JSON", "`again`"),
    ("again the unknown", b'{"again":7}', 404, "M_NOT_FOUND", "nothing of ID 7"),
    (
        "again something else",
        b'{"again":7,"txn_id":"a"}',
        400,
        "M_INVALID_PARAM",
        "leave out `pdus`",
    ),
    ("a bad version", b'{"room_version":"0"}', 400, "M_INVALID_PARAM", "'0'"),
    (
        "101 EDUs",
        b'{"edus":[' + b",".join([b'{"edu_type":"x","content":{}}'] * 101) + b"]}",
        413,
        "M_TOO_LARGE",
        "101 EDUs",
    ),
]


@cases("body status errcode reason", BODIES)
def test_bad_send(body: bytes | None, status: int, errcode: str, reason: str) -> None:
    """What cannot be sent is refused with the item that is wrong."""
    panel = Panel()
    answer = ask(panel.site, "POST", SEND, [HOST, AUTHORIZATION], body)
    assert answer.error == (status, errcode)
    assert reason in str(answer.json["error"])
    assert panel.ask("GET", f"{SEND}/1").status == 404


def test_sending_with_a_chosen_id() -> None:
    """The transaction has that ID, once."""
    panel = Panel()
    panel.start()
    chosen: Json = {"edus": [EDU], "txn_id": "a/b"}
    assert panel.ask("POST", SEND, chosen).json == {"id": 1}
    panel.clock.advance(0)
    assert [txn_id for _, txn_id, _ in panel.carrier.sent] == ["a/b"]
    panel.carrier.arrive({"pdus": {}})
    answer = panel.ask("POST", SEND, chosen)
    assert answer.error == (400, "M_INVALID_PARAM")
    assert "`again` sends it once more" in str(answer.json["error"])


def test_sending_again() -> None:
    """A delivered transaction goes out once more with its ID and its content."""
    panel = Panel()
    panel.start()
    panel.ask("POST", SEND, {"edus": [EDU]})
    panel.clock.advance(0)
    panel.carrier.arrive({"pdus": {}})
    assert panel.ask("POST", SEND, {"again": 1}).json == {"id": 1}
    panel.clock.advance(0)
    first, second = panel.carrier.sent
    assert first == second
    assert panel.ask("GET", f"{SEND}/1").json["state"] == "sending"
    panel.carrier.arrive({"pdus": {}})
    assert panel.ask("GET", f"{SEND}/1").json["attempts"] == 2


@pytest.mark.parametrize("now", [False, True])
def test_sending_now(*, now: bool) -> None:
    """With `now`, the back-off of the destination ends; without it, it goes on."""
    panel = Panel()
    panel.start()
    panel.ask("POST", SEND, {"edus": [EDU]})
    panel.clock.advance(0)
    panel.carrier.lose(Unreachable(THEM.server_name, ["no route"]))
    panel.clock.advance(0)
    panel.ask("POST", SEND, {"edus": [EDU], "now": now})
    panel.clock.advance(0)
    assert len(panel.carrier.sent) == 1 + now


DESTINATIONS = ["a_b", "them.example:http", "us.example", "%ff", "@a:them.example"]


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_bad_destination(destination: str) -> None:
    """A destination is the name of another server."""
    answer = Panel().ask("POST", f"/v1/send/{destination}", {})
    assert answer.error == (400, "M_INVALID_PARAM")


def test_full_store() -> None:
    """What cannot be stored is not said to be queued."""
    panel = Panel()
    panel.database.is_full = True
    assert panel.ask("POST", SEND, {}).error == (503, "M_UNKNOWN")


STATE_ERRORS: list[tuple[str, int, str]] = [
    ("2", 404, "M_NOT_FOUND"),
    ("0", 404, "M_NOT_FOUND"),
    ("999999999999999999", 404, "M_NOT_FOUND"),
    ("9999999999999999999", 400, "M_INVALID_PARAM"),
    ("-1", 400, "M_INVALID_PARAM"),
    ("x", 400, "M_INVALID_PARAM"),
    ("1.0", 400, "M_INVALID_PARAM"),
    ("%C2%B2", 400, "M_INVALID_PARAM"),
    ("+1", 400, "M_INVALID_PARAM"),
]


def test_dropping_with_an_empty_id() -> None:
    """An ID that is empty by mistake does not drop what else is queued."""
    panel = Panel()
    panel.ask("POST", SEND, {})
    assert panel.ask("DELETE", f"{SEND}/").error == (400, "M_INVALID_PARAM")
    assert panel.ask("GET", f"{SEND}/").status == 405
    assert panel.ask("GET", f"{SEND}/1").json["state"] == "queued"


@pytest.mark.parametrize(("entry", "status", "errcode"), STATE_ERRORS)
def test_state_of_nothing(entry: str, status: int, errcode: str) -> None:
    """An ID that was not given is not waited for, and what is no ID is refused."""
    panel = Panel()
    panel.ask("POST", SEND, {})
    assert panel.ask("GET", f"{SEND}/{entry}?wait=30").error == (status, errcode)
    assert panel.ask("DELETE", f"{SEND}/{entry}").error == (status, errcode)
    assert panel.ask("GET", f"{SEND}/1").json["state"] == "queued"


def test_dropping() -> None:
    """What is given up is counted, says when and by what, and is not given up twice."""
    panel = Panel()
    for _ in range(3):
        panel.ask("POST", SEND, {})
    assert panel.ask("DELETE", f"{SEND}/2").json == {"dropped": 1}
    state = panel.ask("GET", f"{SEND}/2").json
    assert (state["state"], state["dropped_by"]) == ("dropped", "peers --drop")
    assert state["dropped_ts"] == NOW * 1000
    answer = panel.ask("DELETE", f"{SEND}/2")
    assert answer.error == (404, "M_NOT_FOUND")
    assert answer.json["error"] == (
        "entry 2 for them.example was dropped; there is nothing to drop"
    )
    assert panel.ask("DELETE", "/v1/send/others.example/1").status == 404
    assert panel.ask("DELETE", SEND).json == {"dropped": 2}
    assert panel.ask("GET", f"{SEND}/3").json["dropped_by"] == "peers --drop-all"
    assert panel.ask("DELETE", SEND).json == {"dropped": 0}
    assert panel.ask("DELETE", "/v1/send/no_name").error == (400, "M_INVALID_PARAM")
    assert panel.ask("DELETE", "/v1/send/no_name/1").error == (400, "M_INVALID_PARAM")
    panel.database.is_full = True
    assert panel.ask("DELETE", SEND).status == 503


def test_state_at_another_destination() -> None:
    """An entry is found at its destination alone."""
    panel = Panel()
    panel.ask("POST", SEND, {})
    answer = panel.ask("GET", "/v1/send/others.example/1")
    assert answer.error == (404, "M_NOT_FOUND")


@pytest.fixture
def panel() -> Panel:
    """A panel with one entry, of a sender that has not begun."""
    panel = Panel()
    panel.ask("POST", SEND, {"edus": [EDU]})
    return panel


def send(panel: Panel) -> None:
    """Begin to send."""
    panel.start()
    panel.clock.advance(0)


def state(panel: Panel) -> Json:
    """How far the entry has come."""
    return panel.ask("GET", f"{SEND}/1").json


def test_queued(panel: Panel) -> None:
    """An entry that nobody has touched is queued."""
    found = state(panel)
    members = ("state", "txn_id", "attempts", "error", "reply")
    assert [found[each] for each in members] == ["queued", None, 0, None, None]


def test_sending(panel: Panel) -> None:
    """An entry that is on its way is being sent, in a transaction."""
    send(panel)
    [(_, txn_id, _)] = panel.carrier.sent
    found = state(panel)
    assert (found["state"], found["txn_id"]) == ("sending", txn_id)


def test_failed(panel: Panel) -> None:
    """An entry that did not arrive is queued again, and it is said why."""
    send(panel)
    panel.carrier.lose(Unreachable(THEM.server_name, ["no route"]))
    found = state(panel)
    assert (found["state"], found["attempts"]) == ("queued", 1)
    assert "no route" in str(found["error"])
    next_attempt_ts = found["next_attempt_ts"]
    assert isinstance(next_attempt_ts, int)
    assert 0 < next_attempt_ts - NOW_TS < 3000


def test_delivered(panel: Panel) -> None:
    """An entry that was acknowledged is delivered, with the reply."""
    send(panel)
    panel.carrier.arrive({"pdus": {}})
    found = state(panel)
    assert (found["state"], found["attempts"]) == ("delivered", 1)
    assert (found["reply"], found["error"]) == ({"pdus": {}}, None)


def test_waits_until_it_is_delivered(panel: Panel) -> None:
    """Who waits is answered as soon as the entry is delivered, over a failure."""
    waiting = panel.begin("GET", f"{SEND}/1?wait=30")
    send(panel)
    panel.carrier.lose(Unreachable(THEM.server_name, ["no route"]))
    assert waiting.answers() == []
    panel.clock.advance(5)
    panel.carrier.arrive({"pdus": {}})
    [answer] = waiting.answers()
    assert (answer.json["state"], answer.json["attempts"]) == ("delivered", 2)


@pytest.mark.parametrize(
    ("given", "seconds"), [("2.5", 2.5), ("3600", 60), ("inf", 60), ("1e300", 60)]
)
def test_waits_no_longer(panel: Panel, given: str, seconds: float) -> None:
    """When the time is over, a minute at most, the answer is how far it has come."""
    waiting = panel.begin("GET", f"{SEND}/1?wait={given}")
    panel.clock.advance(seconds - 0.1)
    assert waiting.answers() == []
    panel.clock.advance(0.2)
    [answer] = waiting.answers()
    assert answer.json["state"] == "queued"


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


NOT_NAMED = [
    *(("GET", f"resolve/{x}") for x in ("a_b", "%ff", "a.org:http", "127.1", "a%2Fb")),
    ("GET", "keys/a_b"),
    ("GET", "peers/a_b"),
    ("POST", "peers/a_b/retry"),
    ("DELETE", "peers/a_b/pin"),
]


@pytest.mark.parametrize(("method", "path"), NOT_NAMED)
def test_what_is_no_name(method: str, path: str) -> None:
    """What is no server name is not looked for, and nothing is changed of it."""
    assert Panel().ask(method, f"/v1/{path}").error == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("route", ["resolve", "keys"])
def test_no_name(route: str) -> None:
    """A path without a name leads nowhere."""
    for path in (route, f"{route}/", f"{route}//"):
        answer = Panel().ask("GET", f"/v1/{path}")
        assert answer.error == (404, "M_UNRECOGNIZED")


FRAGMENTS = [
    *[
        "",
        "/",
        "v1",
        "send",
        "received",
        "resolve",
        "keys",
        "peers",
        "pin",
        "health",
        "a.org",
        "1",
        "%",
        "%ff",
    ],
    *["?", "&", "wait=", "after=", "limit=", "origin=", "=", "nan", "-1", "1e9", "%00"],
]


class GarbageTests(SynchronousTestCase):
    """Requests of any kind, by who has the token."""

    @settings(max_examples=150)
    @given(
        st.sampled_from(["GET", "POST", "HEAD", "DELETE"]),
        st.lists(st.sampled_from(FRAGMENTS), max_size=8),
        st.none() | st.binary(max_size=30) | st.just(b'{"pdus":[{}],"edus":5}'),
    )
    def test_garbage(self, method: str, steps: list[str], body: bytes | None) -> None:
        """Whatever is asked, no answer is a 500 and nothing breaks."""
        panel = Panel()
        panel.routes.outcomes["a.org"] = Resolution(ServerName.parse("a.org"), [], [])
        connection = Connection(panel.site)
        target = "/" + "/".join(steps[:4]) + "".join(steps[4:])
        connection.send(request(method, target, [HOST, AUTHORIZATION], body))
        panel.clock.advance(60)
        said = connection.transport.value()
        statuses = re.findall(rb"HTTP/1\.[01] ([0-9]{3})", said)
        self.assertEqual(len(statuses), 1)
        self.assertNotIn(b"500", statuses)
        self.assertEqual(self.flushLoggedErrors(), [])


def test_bounds() -> None:
    """Each bound is listed with its use at this moment and what it has refused."""
    panel = Panel()
    panel.bound.refuse()
    assert panel.ask("GET", "/v1/bounds").json == {
        "bounds": [
            {
                "name": "doors",
                "what": "open doors",
                "use": 3,
                "limit": 5,
                "refusals": 1,
            }
        ]
    }

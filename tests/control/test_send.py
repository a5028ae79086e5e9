"""What is handed over to be sent to another server.

It is queued whole and its number is told, or it is refused with the item that is wrong.
"""

import pytest

from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json
from tests.support.control_side import AUTHORIZATION, EDU, HOST, SEND, Panel
from tests.support.http_connection import ask
from tests.support.pdus import message
from tests.support.signed_requests import OTHERS, THEM
from tests.support.tables import cases


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

"""How far an entry of the outbound queue has come, and how it is dropped.

An entry is found at its destination alone. Who waits is answered as soon as it is
delivered.
"""

import pytest

from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json
from tests.support.control_side import EDU, NOW, NOW_TS, SEND, Panel
from tests.support.signed_requests import THEM


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


@pytest.mark.parametrize(("given", "seconds"), [("2.5", 2.5), ("60", 60), ("3600", 60)])
def test_waits_no_longer(panel: Panel, given: str, seconds: float) -> None:
    """When the time is over, a minute at most, the answer is how far it has come."""
    waiting = panel.begin("GET", f"{SEND}/1?wait={given}")
    panel.clock.advance(seconds - 0.1)
    assert waiting.answers() == []
    panel.clock.advance(0.2)
    [answer] = waiting.answers()
    assert answer.json["state"] == "queued"


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


@pytest.mark.parametrize(("entry", "status", "errcode"), STATE_ERRORS)
def test_state_of_nothing(entry: str, status: int, errcode: str) -> None:
    """An ID that was not given is not waited for, and what is no ID is refused."""
    panel = Panel()
    panel.ask("POST", SEND, {})
    assert panel.ask("GET", f"{SEND}/{entry}?wait=30").error == (status, errcode)
    assert panel.ask("DELETE", f"{SEND}/{entry}").error == (status, errcode)
    assert panel.ask("GET", f"{SEND}/1").json["state"] == "queued"


def test_state_at_another_destination() -> None:
    """An entry is found at its destination alone."""
    panel = Panel()
    panel.ask("POST", SEND, {})
    answer = panel.ask("GET", "/v1/send/others.example/1")
    assert answer.error == (404, "M_NOT_FOUND")


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


def test_dropping_with_an_empty_id() -> None:
    """An ID that is empty by mistake does not drop what else is queued."""
    panel = Panel()
    panel.ask("POST", SEND, {})
    assert panel.ask("DELETE", f"{SEND}/").error == (400, "M_INVALID_PARAM")
    assert panel.ask("GET", f"{SEND}/").status == 405
    assert panel.ask("GET", f"{SEND}/1").json["state"] == "queued"

"""What the control API of a lab answers about all of its servers together."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from threading import Thread
from typing import Any

import pytest

from homeserver.testing import Lab, LabError, Server
from tests.support.eventually import HANGING_SECONDS

SEND = "/_matrix/federation/v1/send/{}"


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab without servers."""
    with Lab() as running:
        yield running


def ask(lab: Lab, *steps: str, method: str = "GET", **query: Any) -> Any:
    """The answer of a route."""
    return lab.link.call(method, *steps, query=query, seconds=query.get("wait", 0))


def send(ours: Server, theirs: Server, txn_id: str) -> None:
    """Let a transaction be received."""
    body = {"origin": ours.name, "origin_server_ts": 1, "pdus": []}
    path = SEND.format(txn_id)
    assert ours.request(theirs.name, path, method="PUT", content=body).status == 200


def test_no_server(lab: Lab) -> None:
    """Without a server, nothing is listed."""
    assert ask(lab, "v1", "received") == {"transactions": [], "next": 0}
    assert ask(lab, "v1", "refused") == {"refused": [], "next": 0}
    assert ask(lab, "v1", "peers") == {"peers": [], "next": None}


def test_one_server(lab: Lab) -> None:
    """Of one server, nobody has to be told whose a row is."""
    ours = lab.server()
    ours.request(ours.name, SEND.format("1"), method="PUT", content={}, sign=None)
    refused = ask(lab, "v1", "refused", wait=10)["refused"]
    assert refused
    assert not any("server" in each for each in refused)


def test_received(lab: Lab) -> None:
    """The transactions of all servers are in one list, and in pages of it."""
    ours, *theirs = lab.servers(4)
    for number, each in enumerate(theirs):
        send(ours, each, f"t{number}")
    names = [each.name for each in theirs]
    page = ask(lab, "v1", "received")
    assert [each["server"] for each in page["transactions"]] == names
    first = ask(lab, "v1", "received", limit=2)
    assert [each["server"] for each in first["transactions"]] == names[:2]
    second = ask(lab, "v1", "received", after=first["next"], origin=ours.name)
    assert [each["txn_id"] for each in second["transactions"]] == ["t2"]
    chosen = ask(lab, "v1", "received", server=names[1])["transactions"]
    assert [each["txn_id"] for each in chosen] == ["t1"]
    assert "server" not in chosen[0]
    [own] = ask(lab, "v1", "servers", names[1], "received")["transactions"]
    assert own == chosen[0]
    theirs[0].delete()
    page = ask(lab, "v1", "received")
    assert [each["server"] for each in page["transactions"]] == names[1:]


def test_waiting(lab: Lab) -> None:
    """What waits for any server is woken by each of them."""
    ours, theirs, other = lab.servers(3)
    found: list[Any] = []

    def wait(what: str) -> None:
        found.append(ask(lab, "v1", what, wait=25, origin=ours.name))

    for what in ("received", "refused"):
        found.clear()
        waiting = Thread(target=wait, args=[what])
        waiting.start()
        if what == "received":
            send(ours, theirs, "t")
        else:
            ours.request(other.name, SEND.format("x"), method="PUT", spoil=["path"])
        waiting.join(30)
        [page] = found
        [row] = page["transactions" if what == "received" else "refused"]
        assert row["server"] == (theirs if what == "received" else other).name


def test_refused(lab: Lab) -> None:
    """The refusals of all servers have their hints, as those of one server."""
    ours, *theirs = lab.servers(3)
    for each in theirs:
        ours.request(each.name, SEND.format("1"), method="PUT", spoil=["signature"])
    rows = ask(lab, "v1", "refused")["refused"]
    assert {each["server"] for each in rows} == {each.name for each in theirs}
    for each in theirs:
        own = [
            {k: v for k, v in row.items() if k != "server"}
            for row in rows
            if row["server"] == each.name
        ]
        assert own == each.refused()


def test_report_of_a_refusal(lab: Lab) -> None:
    """A server of which a refusal alone is known has a report, at once."""
    ours, theirs = lab.servers(2)
    ours.request(theirs.name, SEND.format("1"), method="PUT", spoil=["destination"])
    report = ask(lab, "v1", "peers", ours.name, "report")
    assert [(c["server"], c["name"]) for c in report["checks"]] == [
        (theirs.name, "other_destination")
    ]


def test_peers(lab: Lab) -> None:
    """The peers of all servers, in the order of our names, and in pages."""
    peer, *ours = lab.servers(4)
    for each in ours:
        send(each, peer, each.name)
    pairs = sorted((each.name, peer.name) for each in ours)
    pairs += sorted((peer.name, each.name) for each in ours)
    pairs.sort()
    found: list[tuple[str, str]] = []
    after: str | None = ""
    while after is not None:
        page = ask(lab, "v1", "peers", limit=1, after=after)
        found += [(each["server"], each["server_name"]) for each in page["peers"]]
        after = page["next"]
    assert found == pairs
    whole = ask(lab, "v1", "peers")["peers"]
    assert [(each["server"], each["server_name"]) for each in whole] == pairs
    one = ask(lab, "v1", "peers", peer.name)
    assert one["server"] == min(each.name for each in ours)
    for bad in ("x.test", "!/x", "a.test/!"):
        with pytest.raises(LabError, match="OURS/PEER"):
            ask(lab, "v1", "peers", after=bad)
    with pytest.raises(LabError, match="nothing is known of a peer"):
        ask(lab, "v1", "peers", "no.test")


def test_changes_of_peers(lab: Lab) -> None:
    """What is forgotten of a peer is forgotten by each server that knows it."""
    peer, *ours = lab.servers(3)
    for each in ours:
        send(each, peer, each.name)
    ask(lab, "v1", "peers", peer.name, "retry", method="POST")
    ask(lab, "v1", "peers", peer.name, "pin", method="DELETE")
    for each in ours:
        with pytest.raises(LabError, match="nothing is known of a peer"):
            ask(lab, "v1", "servers", each.name, "peers", peer.name)
    with pytest.raises(LabError, match="nothing is known of a peer"):
        ask(lab, "v1", "peers", "none.test", "retry", method="POST")


def test_report(lab: Lab) -> None:
    """A report has the checks and the attempts of each server that knows the peer."""
    peer, *ours = lab.servers(3)
    for each in ours:
        send(peer, each, each.name)
    peer.request(ours[0].name, SEND.format("x"), method="PUT", spoil=["signature"])
    names = {each.name for each in ours}
    for steps in (("report", peer.name), ("peers", peer.name, "report")):
        report = ask(lab, "v1", *steps)
        assert {each["server"] for each in report["checks"]} == names
        assert {each["server"] for each in report["attempts"]} == names
        assert report["is_wrong"]
        failed = [each for each in report["checks"] if each["outcome"] == "failed"]
        assert {each["server"] for each in failed} == {ours[0].name}
    nothing = ask(lab, "v1", "report", "none.test")
    assert (nothing["is_wrong"], nothing["checks"]) == (False, [])


ROUTES = {
    "/_matrix/federation/v1/version": "/_matrix/federation/v1/version",
    "/_matrix/federation/v1/send/a%2Fb?x=1": "/_matrix/federation/v1/send/{txnId}",
    "/_matrix/federation/v2/send_join/!a:b/$c": (
        "/_matrix/federation/v2/send_join/{roomId}/{eventId}"
    ),
    "/of/nobody": "other",
}


def test_routes_of_sent_requests(lab: Lab) -> None:
    """What is sent is found by the template of its path, as what arrives is."""
    ours, theirs = lab.servers(2)
    for path, route in ROUTES.items():
        answer = ours.request(theirs.name, path)
        assert lab.exchange(answer.exchange)["route"] == route
    send(ours, theirs, "t")
    assert lab.exchanges(direction="out", route="/_matrix/key/v2/server")
    assert not [
        each.json["path"]
        for each in lab.exchanges(kind="request", direction="out", route="other")
        if each.json["path"] != "/of/nobody"
    ]


def test_names_outside_the_zone(lab: Lab) -> None:
    """Such a server is made, and says who finds it."""
    inside, outside = lab.server(), lab.server("hs.elsewhere.test")
    own = lab.server(listen="own")
    assert "note" not in inside.json
    assert "note" not in own.json
    note = outside.json["note"]
    assert note.startswith(
        "hs.elsewhere.test is not below lab.test: only a server that"
    )
    assert inside.request(outside.name, "/_matrix/key/v2/server").status == 200


def test_a_name_without_an_address(lab: Lab) -> None:
    """That is the reason: there was nothing to verify."""
    ours = lab.server()
    answer = ours.request("nothing.lab.test", "/_matrix/key/v2/server")
    assert (answer.status, answer.reason) == (None, "no_address")


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"name": "a.test", "type": "MX", "value": "x"}, "`dns[1]`: `type` of a DNS"),
        ({"name": "a.test", "type": "A", "value": "x"}, "`dns[1]`: `value` of an A"),
        ({"name": "a.test", "type": "A", "value": 1}, "dns[1].value"),
        ({"name": "a b", "type": "A", "value": "127.0.0.1"}, "`dns[1]`: `name`"),
    ],
)
def test_a_bad_record(lab: Lab, record: dict[str, object], why: str) -> None:
    """It is named by its place in the list."""
    good = {"name": "a.test", "type": "A", "value": "127.0.0.1"}
    with pytest.raises(LabError) as refused:
        lab.server(dns=[good, record])
    assert why in str(refused.value)


def test_a_missing_token(lab: Lab) -> None:
    """A lab has no configuration, so the error names what gives its token."""
    connection = HTTPConnection(
        lab.control.removeprefix("http://"), timeout=HANGING_SECONDS
    )
    connection.request("GET", "/v1/servers")
    response = connection.getresponse()
    said = json.loads(response.read())["error"]
    connection.close()
    assert response.status == 401
    assert "HOMESERVER_LAB_TOKEN" in said
    assert "[control]" not in said


def test_what_is_kept_to_be_sent_again(lab: Lab) -> None:
    """It is one of the bounds."""
    ours, theirs = lab.servers(2)
    ours.send(theirs.name, edus=[{"edu_type": "m.test", "content": {}}])
    bounds = {each["name"]: each for each in ask(lab, "v1", "bounds")["bounds"]}
    kept = bounds["kept_transaction_bytes"]
    assert 0 < kept["use"] < kept["limit"] == 8 * 2**20

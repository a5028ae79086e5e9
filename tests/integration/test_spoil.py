"""Requests that are wrong on purpose, sent by a lab to servers of its own."""

import base64
from typing import Any

import pytest

from homeserver.testing import Lab, LabError, Server
from tests.support.pdus import unsigned_message

RAW = base64.b64encode(b"{").decode()


def transaction(ours: Server, theirs: Server, *texts: str) -> dict[str, Any]:
    """What comes of a transaction with mistakes."""
    body = {"origin": ours.name, "origin_server_ts": 1, "pdus": [], "edus": []}
    if any(text.startswith("pdu-") for text in texts):
        body["pdus"] = [unsigned_message(ours.name)]
    path = "/_matrix/federation/v1/send/1"
    answer = ours.request(
        theirs.name, path, method="PUT", content=body, spoil=list(texts)
    )
    return answer.json


MISTAKES: list[tuple[str, int, bool | None]] = [
    ("signature", 401, True),
    ("destination", 401, True),
    ("origin", 401, True),
    ("key-id", 401, True),
    ("path", 401, True),
    ("method", 401, True),
    ("content", 401, True),
    ("no-auth", 401, True),
    ("no-destination", 200, True),
    ("header:Basic x", 400, True),
    ("expired-key", 401, True),
    ("old-key", 401, True),
    ("other-key-same-id", 401, True),
    ("replay", 200, True),
    ("host:other.test", 200, True),
    (f"raw:{RAW}", 400, None),
    ("float", 200, True),
    ("big-integer", 200, True),
    ("duplicate-member", 400, True),
    ("invalid-utf8", 400, True),
    ("depth", 400, True),
    ("pdus:51", 400, True),
    ("edus:101", 400, True),
    ("sni:other.test", 200, True),
    ("pdu-signature", 200, True),
    ("pdu-hash", 200, True),
    ("pdu-event-id", 200, True),
    ("pdu-size", 200, True),
    ("pdu-room-version", 200, True),
    ("edu-sender", 200, True),
    ("edu-shape", 200, True),
]


@pytest.mark.parametrize(("text", "status", "as_expected"), MISTAKES)
def test_each_mistake_is_met(
    lab: Lab, text: str, status: int, as_expected: object
) -> None:
    """Our own server does what a right one does, and the result says so."""
    ours, theirs = lab.servers(2)
    ours.change(rotate=True)
    answer = transaction(ours, theirs, text)
    assert (answer["status"], answer["as_expected"]) == (status, as_expected), answer
    assert all(sentence.endswith(".") for sentence in answer["expected"])


def test_without_a_mistake_nothing_is_expected(lab: Lab) -> None:
    """The result of a right request has no judgement."""
    ours, theirs = lab.servers(2)
    right = transaction(ours, theirs)
    assert (right["status"], right["remarks"]) == (200, [])
    assert not {"expected", "as_expected"} & right.keys()


@pytest.mark.parametrize(
    ("text", "status"), [("signature", 200), ("replay", 500), ("float", 500)]
)
def test_a_server_that_is_wrong(lab: Lab, text: str, status: int) -> None:
    """A server that takes what it must refuse, or fails, is not as expected."""
    ours, theirs = lab.servers(2)
    rule = {"do": {"http.status": status}}
    lab.link.call("POST", "v1", "servers", theirs.name, "rules", content=rule)
    assert transaction(ours, theirs, text)["as_expected"] is False


def test_a_replay_arrives_twice(lab: Lab) -> None:
    """Both requests are in the record, with the same bytes."""
    ours, theirs = lab.servers(2)
    transaction(ours, theirs, "replay")
    both = theirs.expect(count=2, method="PUT")
    seen = [lab.exchange(each.id)["request"] for each in both]
    assert seen[0]["body"] == seen[1]["body"]
    assert seen[0]["headers"] == seen[1]["headers"]
    sent = ours.exchanges(direction="out", method="PUT")
    assert len(sent) == 2


def test_a_host_is_sent_and_recorded(lab: Lab) -> None:
    """The server sees it, and the record has it on both sides."""
    ours, theirs = lab.servers(2)
    transaction(ours, theirs, "host:other.test")
    [sent] = ours.exchanges(direction="out", method="PUT")
    headers = dict(lab.exchange(sent.id)["request"]["headers"])
    assert headers["Host"] == "other.test"


def test_a_name_in_sni_is_sent_and_recorded(lab: Lab) -> None:
    """The handshake has it, on a connection that is not used again."""
    ours, theirs = lab.servers(2)
    transaction(ours, theirs, "sni:other.test")
    transaction(ours, theirs)
    made = ours.exchanges(direction="out", kind="connection")
    names = [lab.exchange(each.id)["tls"]["sni"] for each in made]
    assert names == ["other.test", theirs.name]


def test_a_server_that_is_not_reached(lab: Lab) -> None:
    """Nothing can be said of it."""
    [ours] = lab.servers(1)
    answer = ours.request("nowhere.lab.test", "/x", spoil=["path"]).json
    assert (answer["status"], answer["as_expected"]) == (None, None)


def test_an_unknown_mistake(lab: Lab) -> None:
    """400 names it, and what is known."""
    [ours] = lab.servers(1)
    body = {"destination": "x.test", "path": "/", "spoil": ["patch"]}
    with pytest.raises(LabError, match="did you mean 'path'"):
        lab.link.call("POST", "v1", "servers", ours.name, "request", content=body)

"""What servers of a lab send to each other, and what the record has of it."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from homeserver.testing import ExpectationFailed, Lab

VERSION = "/_matrix/federation/v1/version"
PROFILE = "/_matrix/federation/v1/query/profile?user_id=@a:b&field=displayname"


def test_a_request_is_signed_and_recorded(lab: Lab) -> None:
    """A right request is admitted, and both servers' exchanges are in the record."""
    ours, theirs = lab.servers(2)
    answer = ours.request(theirs.name, PROFILE)
    assert (answer.status, answer.content["errcode"]) == (404, "M_NOT_FOUND")
    shown = lab.exchange(answer.exchange)
    assert shown["server"] == ours.name
    assert json.loads(shown["response"]["body"]) == answer.content
    [arrived] = theirs.expect(path="*/query/profile", status=404)
    assert arrived.peer == ours.name
    details = lab.exchange(arrived.id)
    assert details["tls"]["sni"] == theirs.name
    assert any(name == "Authorization" for name, _ in details["request"]["headers"])
    assert theirs.exchanges(kind="connection", direction="in")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"method": "POST"}, "bad_signature"),
    ({"uri": "/other"}, "bad_signature"),
    ({"content": {}}, "bad_signature"),
    ({"omit": ["uri"]}, "bad_signature"),
    ({"key_id": "ed25519:other"}, "no_usable_key"),
]


@pytest.mark.parametrize(("sign", "reason"), WRONG)
def test_a_wrong_signature_is_refused(
    lab: Lab, sign: dict[str, Any], reason: str
) -> None:
    """What is signed can differ from what is sent; a right server refuses it."""
    ours, theirs = lab.servers(2)
    assert ours.request(theirs.name, PROFILE, sign=sign).status == 401
    [refused] = theirs.expect(status=401)
    assert refused.reason == reason
    unsigned = ours.request(theirs.name, PROFILE, sign=None)
    assert unsigned.status == 401


def test_what_cannot_be_reached_is_a_result(lab: Lab) -> None:
    """No answer is told with its reason."""
    ours = lab.server()
    answer = ours.request("nowhere.lab.test", VERSION, timeout=20)
    assert answer.status is None
    assert answer.reason
    assert "nowhere.lab.test" in (answer.error or "")


def test_a_transaction_is_sent_again(lab: Lab) -> None:
    """A chosen ID and the same bytes arrive twice, and are received once."""
    ours, theirs = lab.servers(2)
    edu = {"edu_type": "m.test", "content": {}}
    sent = ours.send(theirs.name, edus=[edu], txn_id="mine")
    again = ours.send(theirs.name, again=sent.id, now=True)
    assert [sent.txn_id, again.txn_id] == ["mine", "mine"]
    assert (again.id, again.state, again.json["attempts"]) == (sent.id, "delivered", 2)
    both = theirs.expect(method="PUT", txn_id="mine", count=2)
    first, second = (lab.exchange(each.id)["request"]["body"] for each in both)
    assert first == second
    assert len(theirs.received()) == 1


def test_questions_to_the_name_server_are_recorded(lab: Lab) -> None:
    """Each has the server that it is about."""
    server = lab.server()
    host, _, port = lab.dns.rpartition(":")
    name = b"".join(
        bytes([len(part)]) + part.encode()
        for part in f"_matrix._tcp.{server.name}".split(".")
    )
    question = b"\0\7\1\0\0\1\0\0\0\0\0\0" + name + b"\0\0\x21\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10)
        asking.sendto(question, (host, int(port)))
        assert asking.recv(512)[7] == 1
    [asked] = server.expect(kind="dns", direction="in")
    assert (asked.method, asked.path) == ("SRV", f"_matrix._tcp.{server.name}")
    assert asked.json["address"] == "127.0.0.1"
    assert server.name in asked.json["verdict"]


def test_parallel_tests_do_not_see_each_other(lab: Lab) -> None:
    """A hundred tests on one lab find what is theirs, all of it and nothing else."""

    def run(number: int) -> None:
        ours, theirs = lab.servers(2)
        for path in (VERSION, f"/_matrix/federation/v1/none/{number}"):
            ours.request(theirs.name, path)
        theirs.expect(path=f"*/none/{number}", count=1)
        with pytest.raises(ExpectationFailed):
            theirs.expect(path="*/none/*", count=2, within=0)
        seen = theirs.exchanges(kind="request", direction="in")
        assert {each.peer for each in seen} <= {ours.name, None}
        assert {each.server for each in seen} == {theirs.name}
        theirs.quiet(seconds=0.1, within=30)

    with ThreadPoolExecutor(20) as threads:
        for _ in threads.map(run, range(100)):
            pass


def test_the_record_goes_to_a_file(tmp_path: Path) -> None:
    """Each exchange is a line, as it comes."""
    path = tmp_path / "record.jsonl"
    with Lab("--record", str(path)) as lab:
        ours, theirs = lab.servers(2)
        ours.request(theirs.name, VERSION)
        theirs.expect(path=VERSION)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert any(line.get("path") == VERSION for line in lines)

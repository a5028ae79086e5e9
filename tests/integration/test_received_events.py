"""What becomes of the events of twelve years at a real daemon, and over a restart."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.events.event import hash_and_sign
from homeserver.protocol.events.room_versions import EVENTS_OF_2014
from homeserver.protocol.identifiers import ServerName
from scripts.processes import Endpoint, first_line, make_endpoint
from tests.support.http_connection import request
from tests.support.pdus import ROOM, create, message
from tests.support.raw_client import talking
from tests.support.senders import make_known
from tests.support.signed_requests import THEM

_numbers = count()


@pytest.fixture
def alpha(tmp_path: Path) -> Endpoint:
    """A daemon's folder and names; its store has the key of another server."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with endpoint.running() as process:
        first_line(process)
    name = ServerName.parse(endpoint.name)
    make_known(endpoint.folder / "homeserver.db", name, THEM)
    return endpoint


def deliver(endpoint: Endpoint, content: Json, written: bytes | None = None) -> None:
    """Send a transaction of theirs, in canonical JSON or as it is `written`."""
    sent = put(endpoint, str(next(_numbers)), content, written)
    with talking(endpoint.port) as talk:
        talk.send(sent)
        assert talk.answer().status == 200


def put(
    endpoint: Endpoint, txn_id: str, content: Json, written: bytes | None = None
) -> bytes:
    """The request for a transaction of theirs."""
    target = f"/_matrix/federation/v1/send/{txn_id}"
    destination = ServerName.parse(endpoint.name)
    header = THEM.authorize("PUT", target, content, destination=destination)
    body = encode(content) if written is None else written
    return request("PUT", target, [f"Authorization: {header}"], body)


def verdicts(endpoint: Endpoint) -> list[str]:
    """Those on the PDUs that came last."""
    last: Any = endpoint.ask("received")[-1]
    return [pdu["verdict"] for pdu in last["pdus"]]


@pytest.fixture
def running(alpha: Endpoint) -> Iterator[Endpoint]:
    """The daemon, running."""
    with alpha.running() as process:
        first_line(process)
        yield alpha


# As Synapse 0.4 sends a message: not signed.
OF_0_4: Json = {
    "pdu_id": "aPRTzEgd",
    "context": ROOM,
    "pdu_type": "m.room.message",
    "origin": "them.example",
    "origin_server_ts": 1_415_000_000_000,
    "content": {"body": "hello", "msgtype": "m.text"},
    "depth": 2,
    "prev_pdus": [["YyNhfpTs", "them.example"]],
    "is_state": False,
    "user_id": "@a:them.example",
}

# As Synapse 0.5 signs the visibility of a room's history.
OF_0_5 = hash_and_sign(
    message(
        "1",
        type="m.room.history_visibility",
        state_key="",
        content={"history_visibility": "shared"},
        membership="join",
        signatures=None,
    ),
    EVENTS_OF_2014,
    THEM.server_name,
    [THEM.key],
)

# As Dendrite, Complement and Conduit sign them in room version 11.
OF_DENDRITE = message(
    "11",
    type="m.room.member",
    state_key="@a:them.example",
    content={"membership": "join"},
    origin="them.example",
    prev_state=[],
    membership="join",
)

UNSIGNED = "unsigned: of 2014, by its transaction's origin alone"


def test_events_of_twelve_years(running: Endpoint) -> None:
    """Each is taken in the form in which its time's servers send it."""
    foreign = OF_0_4 | {"origin": "others.example", "user_id": "@a:others.example"}
    deliver(running, {"pdus": [OF_0_4, OF_0_5, OF_DENDRITE, foreign]})
    *taken, rejected = verdicts(running)
    assert taken == [UNSIGNED, "accepted", "accepted"]
    assert rejected.startswith(
        "rejected: an unsigned PDU of 2014 is accepted from its own"
    )
    [transaction] = running.ask("received")
    sources = [
        (pdu["room_version"], pdu["room_version_source"]) for pdu in transaction["pdus"]
    ]
    assert sources == [
        (None, None),
        ("1", "event format"),
        ("11", "default"),
        (None, None),
    ]
    text = running.call("received").stdout
    assert f"  PDU without an event ID: {UNSIGNED}\n" in text
    assert "    room version 1, by event format\n" in text


def test_unsigned_events_that_are_not_wanted(alpha: Endpoint) -> None:
    """Where the configuration says so, they are rejected."""
    with alpha.configuration.open("a") as file:
        file.write("\n[events]\nunsigned_2014 = false\n")
    with alpha.running() as process:
        first_line(process)
        deliver(alpha, {"pdus": [OF_0_4, OF_0_5]})
        hint = "hint: `signatures` is missing (room version 11)"
        assert verdicts(alpha) == [
            "rejected: unsigned PDUs of 2014 are not accepted here; " + hint,
            "accepted",
        ]


def test_one_bad_pdu(running: Endpoint) -> None:
    """A member that stands twice costs the PDU in which it does, and no other."""
    good, bad = message(), message(depth=9, content={"x": 12345})
    content: Json = {"pdus": [good, bad | {"content": {"x": {"a": 2}}}, 5]}
    written = encode({"pdus": [good, bad, 5]}).replace(b"12345", b'{"a":1,"a":2}')
    deliver(running, content, written)
    assert verdicts(running) == [
        "accepted",
        "rejected: a member occurs twice in one JSON object",
        "rejected: the PDU is not a JSON object",
    ]


def test_the_same_id_with_more_pdus_each_time(alpha: Endpoint) -> None:
    """As Dendrite repeats: all are answered, none is recorded twice, over a kill."""
    pdus = [message(depth=number) for number in range(23)]
    replies: dict[int, bytes] = {}
    received: Any = []
    for counts in ((1, 2, 9), (9, 23, 1)):
        with alpha.running() as process:
            first_line(process)
            for number in counts:
                with talking(alpha.port) as talk:
                    talk.send(put(alpha, "1", {"pdus": pdus[:number]}))
                    answer = talk.answer()
                assert answer.status == 200
                assert list(cast("Json", answer.json["pdus"]).values()) == [{}] * number
                assert replies.setdefault(number, answer.body) == answer.body
            received = alpha.ask("received")
            process.kill()
    assert [each["txn_id"] for each in received] == ["1"] * 4
    assert [len(each["pdus"]) for each in received] == [1, 1, 7, 14]
    first, *others = ([each["code"] for each in one["remarks"]] for one in received)
    assert all(len(set(each) - set(first)) == 1 for each in others)
    events = [pdu["event_id"] for each in received for pdu in each["pdus"]]
    assert len(set(events)) == 23


def test_the_same_content_under_another_id(running: Endpoint) -> None:
    """As Synapse repeats after its connection was cut: the events are the known ones.

    They are not signed the second time, and are accepted by their IDs.
    """
    pdus = [message(depth=number) for number in range(2)]
    with talking(running.port) as talk:
        talk.send(put(running, "a", {"pdus": pdus}))
    # The answer is lost, the transaction is not.
    assert any(running.ask("received") for _ in range(60))
    again: list[object] = [pdu | {"signatures": {}} for pdu in pdus]
    deliver(running, {"pdus": again})
    assert verdicts(running) == ["accepted", "accepted"]
    first, second = cast("list[Any]", running.ask("received"))
    ids = [[pdu["event_id"] for pdu in each["pdus"]] for each in (first, second)]
    assert ids[0] == ids[1]


def test_over_a_restart(alpha: Endpoint) -> None:
    """What is known of rooms and events is known to the next process."""
    unknown = create("11", content={"room_version": "99"})
    join = message(
        "10",
        room_id="!s:them.example",
        type="m.room.member",
        state_key="@a:them.example",
        content={"membership": "join"},
    )
    for number in range(2):
        with alpha.running() as process:
            first_line(process)
            if number == 0:
                deliver(alpha, {"pdus": [unknown, join]})
                rejected, accepted = verdicts(alpha)
                assert rejected.startswith("rejected: unknown room version '99'")
                assert accepted == "accepted"
            else:
                later = message("11", depth=9)
                deliver(alpha, {"pdus": [later, join | {"signatures": {}}]})
                rejected, accepted = verdicts(alpha)
                assert "names room version '99', which is not known" in rejected
                assert accepted == "accepted"

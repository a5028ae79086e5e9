"""Transactions reach servers of every year, and arrive where the answer says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from homeserver.config.values import Sending
from homeserver.outbound.delivery.sender import Sender
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from tests.support import old_servers as old
from tests.support.as_json import as_json
from tests.support.manual_sender import US, build_sender
from tests.support.memory_database import MemoryDatabase
from tests.support.name_servers import NameServer, serving
from tests.support.old_servers import OldServer, Routes
from tests.support.real_discovery import discovering
from tests.support.recording_peers import signing_key
from tests.support.tables import cases
from tests.support.tls_servers import listening
from tests.support.waiting import reactor, wait

KEY = signing_key("origin")

# Longer than a test: what fails is tried again when the test says so.
PATIENT = Sending(first_retry_seconds=300, max_retry_seconds=300)

Deliver = Callable[[], Json]
"""Queue an EDU, wait until an attempt has ended, and tell what has come of it."""


@contextmanager
def sending(server: OldServer) -> Iterator[tuple[Deliver, Callable[[], None]]]:
    """A sender with one destination; and what replaces it by one that starts."""
    database = MemoryDatabase()
    senders: list[Sender] = []
    with (
        serving(NameServer()) as nameserver,
        listening(server.tls),
        discovering(nameserver) as reach,
    ):
        destination = ServerName.parse(server.name)

        def restart() -> None:
            if senders:
                wait(senders.pop().stop())
            sender = build_sender(database, reach.client, PATIENT, reactor, Random(1))
            wait(sender.start())
            senders.append(sender)

        def deliver() -> Json:
            [sender] = senders
            edu: Json = {"edu_type": "m.test", "content": {}}
            entry = wait(sender.enqueue(destination, [], [edu]))
            return wait(until_tried(sender, entry))

        async def until_tried(sender: Sender, entry: int) -> Json:
            while True:
                state = await sender.state(destination, entry, 0.05)
                assert state is not None
                if state.state not in {"queued", "sending"} or state.error:
                    return as_json(state)

        restart()
        try:
            yield deliver, restart
        finally:
            wait(senders.pop().stop())


# (what it imitates, its routes, the reply that is kept)
BEFORE_2019: list[tuple[str, Routes, Json | None]] = [
    ("Synapse 0.4.2 of 2014", old.SYNAPSE_0_4, None),
    ("Synapse 0.5.4a of 2014", old.SYNAPSE_0_5, None),
    ("Synapse 0.33.8 of 2018", old.SYNAPSE_0_33, {"pdus": {}}),
    (
        "one that writes its JSON with blanks",
        old.before_2019(old.UNRECOGNIZED_2014, b" null\n"),
        None,
    ),
]


@cases("routes reply", BEFORE_2019)
def test_before_2019(routes: Routes, reply: Json | None) -> None:
    """The path gets a slash after the 400, for the same ID and bytes, and keeps it."""
    server = OldServer(routes)
    with sending(server) as (deliver, restart):
        first = deliver()
        assert (first["state"], first["attempts"], first["reply"]) == (
            "delivered",
            2,
            reply,
        )
        second = deliver()
        assert (second["state"], second["attempts"]) == ("delivered", 1)
        restart()
        third = deliver()
        assert (third["state"], third["attempts"]) == ("delivered", 1)
    assert [(put.txn_id, put.has_slash) for put in server.puts] == [
        (first["txn_id"], False),
        (first["txn_id"], True),
        (second["txn_id"], True),
        (third["txn_id"], True),
    ]
    assert server.puts[0].body == server.puts[1].body
    for put in server.puts:
        put.verify(US, server.name, KEY)


def test_today() -> None:
    """A server that takes the path of today is never sent another one."""
    server = OldServer(old.conduit)
    with sending(server) as (deliver, _):
        for _ in range(2):
            state = deliver()
            assert (state["state"], state["attempts"]) == ("delivered", 1)
    assert [put.has_slash for put in server.puts] == [False, False]


def test_server_that_was_updated() -> None:
    """Where the slash is not known any more, the path of today is tried once."""
    server = OldServer(old.SYNAPSE_0_5)
    with sending(server) as (deliver, _):
        deliver()
        server.routes = old.conduit
        updated = deliver()
        assert (updated["state"], updated["attempts"]) == ("delivered", 2)
        assert (deliver()["state"]) == "delivered"
    assert [put.has_slash for put in server.puts] == [False, True, True, False, False]


def test_server_that_was_downgraded() -> None:
    """A server that is of 2014 again is found again."""
    server = OldServer(old.conduit)
    with sending(server) as (deliver, _):
        deliver()
        server.routes = old.SYNAPSE_0_5
        assert deliver()["state"] == "delivered"
    assert [put.has_slash for put in server.puts] == [False, False, True]


# Routes of what takes transactions at neither path, and what is said of it.
NEITHER: list[tuple[str, Routes, str]] = [
    (
        "400 for both",
        old.always("400 Bad Request", old.UNRECOGNIZED),
        "; in the other form of the path: {} answers 400 M_UNRECOGNIZED",
    ),
    (
        "400 without an errcode",
        old.always("400 Bad Request", b"<html>Bad Request</html>"),
        "answers 400 '<html>",
    ),
    (
        "404 for the slash",
        lambda slash: ("404 Not Found" if slash else "400 Bad Request", b"{}"),
        "in the other form of the path: {} answers 404",
    ),
    (
        "a slash and no reply",
        old.before_2019(old.UNRECOGNIZED, b"<html>Welcome</html>"),
        "in the other form of the path: {} answers 200 not JSON: ",
    ),
]


@cases("routes said", NEITHER)
def test_neither_path(routes: Routes, said: str) -> None:
    """What is taken at neither path has failed, is tried again, and nothing is kept."""
    server = OldServer(routes)
    with sending(server) as (deliver, restart):
        state = deliver()
        assert (state["state"], state["attempts"]) == ("queued", 2)
        assert said.format(server.name) in str(state["error"])
        server.routes = old.conduit
        restart()
        assert deliver()["state"] == "delivered"
    assert [put.has_slash for put in server.puts][:3] == [False, True, False]


# Answers to the path of today that acknowledge nothing, and what is said of each.
NO_REPLY: list[tuple[str, bytes, str]] = [
    ("null", b"null", "answers 200 the reply is not a JSON object: 'null'"),
    ("nothing", b"", "answers 200 not JSON: "),
    ("HTML", b"<html>Welcome to nginx!</html>", "'<html>Welcome to nginx!</html>'"),
    ("a list", b"[200, {}]", "the reply is not a JSON object: '[200, {}]'"),
    ("text", b"ok", ": 'ok'"),
    ("a string", b'"ok"', "the reply is not a JSON object: '\"ok\"'"),
    ("broken JSON", b'{"pdus": {', ": '{\"pdus\": {'"),
    ("no UTF-8", b'{"pdus": "\xff"}', r"\xff"),
    ("a list with a member twice", b'[{"a": 1, "a": 2}]', "is not a JSON object"),
]


@cases("body said", NO_REPLY)
def test_no_reply(body: bytes, said: str) -> None:
    """A 200 that acknowledges nothing has failed, and is sent again as it was."""
    server = OldServer(old.always("200 OK", body))
    with sending(server) as (deliver, restart):
        state = deliver()
        assert (state["state"], state["attempts"]) == ("queued", 1)
        assert said in str(state["error"])
        server.routes = old.conduit
        restart()
        assert deliver()["state"] == "delivered"
    first, second = server.puts[:2]
    assert (first.target, first.body) == (second.target, second.body)


def test_content_that_is_not_taken() -> None:
    """A 400 about the content is final in either form, and its form is kept."""
    bad = b'{"errcode": "M_BAD_JSON", "error": "no"}'

    def routes(slash: bool) -> tuple[str, bytes]:  # noqa: FBT001 - as `Routes`
        return "400 Bad Request", bad if slash else old.UNRECOGNIZED

    server = OldServer(routes)
    with sending(server) as (deliver, _):
        state = deliver()
        assert (state["state"], state["attempts"]) == ("rejected", 2)
        assert state["reply"] == {"errcode": "M_BAD_JSON", "error": "no"}
        server.routes = old.SYNAPSE_0_33
        deliver()
    assert [put.has_slash for put in server.puts] == [False, True, True]

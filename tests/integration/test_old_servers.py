"""Transactions reach servers of every year, and arrive where the answer says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from homeserver.config.values import Sending
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from tests.support import old_servers as old
from tests.support.as_json import as_json
from tests.support.manual_sender import US, OneQueue, build_sender
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
    senders: list[OneQueue] = []
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

        async def until_tried(sender: OneQueue, entry: int) -> Json:
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

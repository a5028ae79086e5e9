"""A server that forks a room without end does not keep a daemon from serving others.

The other server is one of the test's, known by its key.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from homeserver.config.reader import load
from homeserver.control.client import ControlClient
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName
from homeserver.rooms.ends import MAX_ENDS
from scripts.processes import first_line, make_endpoint
from tests.support.http_connection import request
from tests.support.known_server import BOB, ask
from tests.support.raw_client import talking
from tests.support.room_side import signed
from tests.support.senders import make_known
from tests.support.signed_requests import THEM

TRANSACTIONS, FORKS = 4, 50


def fork(join: Event, number: int) -> Json:
    """One more profile of Bob, who joins with it again and again after one event."""
    pdu: Json = {
        **{key: join.pdu[key] for key in ("type", "room_id", "sender", "state_key")},
        "content": {"membership": "join", "displayname": f"Bob {number}"},
        "origin_server_ts": join.origin_server_ts + number,
        "depth": join.depth + 1,
        "prev_events": [join.event_id],
        "auth_events": [*join.auth_event_ids, join.event_id],
    }
    return signed(pdu, "11").pdu


def test_flood_of_forks(tmp_path: Path) -> None:
    """Each fork is taken in; the room has few ends, and a key is served meanwhile."""
    alpha = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with alpha.running() as process:
        first_line(process)
    name = ServerName.parse(alpha.name)
    make_known(alpha.folder / "homeserver.db", name, THEM)
    with alpha.running() as process:
        first_line(process)
        client = ControlClient.of_config(alpha.configuration, load(alpha.configuration))
        made: Any = client.post(
            "v1", "rooms", content={"room_version": "11", "preset": "public_chat"}
        )
        room, bob = quote(made["room_id"], ""), quote(BOB, "")
        base = "/_matrix/federation"
        template = ask(alpha, "GET", f"{base}/v1/make_join/{room}/{bob}?ver=11")
        join = signed(template["event"], "11")
        target = f"{base}/v2/send_join/{room}/{quote(join.event_id, '')}"
        ask(alpha, "PUT", target, join.pdu)

        def flood() -> list[Any]:
            replies = []
            for each in range(TRANSACTIONS):
                numbers = range(each * FORKS, (each + 1) * FORKS)
                content: Json = {
                    "origin": str(THEM.server_name),
                    "origin_server_ts": 1,
                    "pdus": [fork(join, number) for number in numbers],
                }
                replies.append(ask(alpha, "PUT", f"{base}/v1/send/{each}", content))
            return replies

        with ThreadPoolExecutor(1) as executor, talking(alpha.port) as talk:
            flooding = executor.submit(flood)
            answers = 0
            while not flooding.done():
                talk.send(request("GET", "/_matrix/key/v2/server", []))
                assert talk.answer().status == 200
                answers += 1
            replies = flooding.result()
        shown: Any = client.get("v1", "rooms", made["room_id"])
    errors = [each for reply in replies for each in reply["pdus"].values() if each]
    assert errors == []
    assert shown["events"] > TRANSACTIONS * FORKS
    assert len(shown["extremities"]) == MAX_ENDS
    assert answers > TRANSACTIONS

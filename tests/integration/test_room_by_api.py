"""A room that the control API of a real daemon makes, and that another server joins.

The other server is one of the test's, known by its key.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from homeserver.config.reader import load
from homeserver.control.client import ControlClient
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from homeserver.testing import Lab, LabError
from scripts.processes import Endpoint, first_line, homeserver, make_endpoint
from tests.support.known_server import BOB, ask
from tests.support.room_side import signed
from tests.support.senders import make_known
from tests.support.signed_requests import THEM


def join(endpoint: Endpoint, room_id: str) -> None:
    """Let Bob join a room."""
    room, bob = quote(room_id, ""), quote(BOB, "")
    base = "/_matrix/federation"
    template = ask(endpoint, "GET", f"{base}/v1/make_join/{room}/{bob}?ver=11")
    event = signed(template["event"], "11")
    target = f"{base}/v2/send_join/{room}/{quote(event.event_id, '')}"
    ask(endpoint, "PUT", target, event.pdu)


def command(endpoint: Endpoint, *words: str) -> str:
    """What a command about rooms prints."""
    config = ["-c", str(endpoint.configuration)]
    done = homeserver("room", words[0], *config, *words[1:])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_room_by_api(tmp_path: Path) -> None:
    """Created by the API, joined by another server, and the same after a restart."""
    alpha = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with alpha.running() as process:
        first_line(process)
    name = ServerName.parse(alpha.name)
    make_known(alpha.folder / "homeserver.db", name, THEM)
    with alpha.running() as process:
        first_line(process)
        client = ControlClient.of_config(alpha.configuration, load(alpha.configuration))
        new: Json = {
            "room_version": "11",
            "preset": "public_chat",
            "alias": f"#room:{name}",
        }
        made: Any = client.post("v1", "servers", name.name, "rooms", content=new)
        room_id = made["room_id"]
        assert made["servers"] == [name.name]
        alias = quote(f"#room:{name}", "")
        query = f"/_matrix/federation/v1/query/directory?room_alias={alias}"
        assert ask(alpha, "GET", query)["room_id"] == room_id
        join(alpha, room_id)
        assert f"{BOB}: join" in command(alpha, "members", room_id)
        topic = "m.room.topic", '{"topic": "hello"}', "--state-key", ""
        sent = json.loads(command(alpha, "send", room_id, *topic, "--json"))
        assert sent["verdict"] == "accepted"
        state = command(alpha, "state", room_id)
        assert 'm.room.topic: {"topic": "hello"}' in state
    with alpha.running() as process:
        first_line(process)
        assert command(alpha, "state", room_id) == state
        assert room_id in command(alpha, "list")
        [last] = json.loads(command(alpha, "graph", room_id, "--json").split("\n")[-2])[
            "prev_events"
        ]
        graph = command(alpha, "graph", room_id, "--format", "dot")
        assert f'"{sent["event_id"]}" -> "{last}";' in graph
        event: Any = client.get("v1", "rooms", room_id, "events", sent["event_id"])
        assert (event["verdict"], event["check"]) == ("accepted", 6)
        done = homeserver(
            "room", "state", "-c", str(alpha.configuration), "!no:alpha.test"
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "not known here" in done.stderr


def test_rooms_of_a_lab() -> None:
    """Each server of a lab has its own rooms."""
    with Lab() as lab:
        one, two = lab.server(), lab.server()

        def ask_lab(method: str, *steps: str, content: Any = None) -> Any:
            return lab.link.call(method, "v1", "servers", *steps, content=content)

        made = ask_lab("POST", one.name, "rooms", content={"name": "N"})
        room_id = made["room_id"]
        assert made["servers"] == [one.name]
        content = {"type": "m.room.message", "content": {"body": "hello"}}
        sent = ask_lab("POST", one.name, "rooms", room_id, "events", content=content)
        assert sent["event"]["sender"] == f"@creator:{one.name}"
        graph = ask_lab("GET", one.name, "rooms", room_id, "graph")
        assert graph["extremities"] == [sent["event_id"]]
        assert ask_lab("GET", two.name, "rooms")["rooms"] == []
        bob = f"@bob:{two.name}"
        invited = ask_lab(
            "POST", one.name, "rooms", room_id, "invite", content={"user_id": bob}
        )
        assert len(invited["event"]["signatures"]) == 2
        [invite] = ask_lab("GET", two.name, "invites")["invites"]
        assert (invite["room_id"], invite["origin"]) == (room_id, one.name)
        joined = ask_lab(
            "POST", two.name, "rooms", room_id, "join", content={"user_id": bob}
        )
        assert joined["through"] == one.name
        graph = ask_lab("GET", one.name, "rooms", room_id, "graph")
        assert graph["extremities"] == [joined["event_id"]]
        with pytest.raises(LabError, match="not known here"):
            ask_lab("GET", lab.server().name, "rooms", room_id)

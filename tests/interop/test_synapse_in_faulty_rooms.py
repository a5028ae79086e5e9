"""Synapse in rooms of a lab whose servers are wrong on purpose.

A join that has to fail fails; of a wrong event, Synapse's user sees what is right.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.testing import Lab, Server
from scripts.synapse import Synapse
from tests.support.eventually import eventually
from tests.support.lab_rules import acted, put
from tests.support.synapse_in_lab import synapse_in_lab
from tests.support.synapse_users import User

_numbers = itertools.count()

SECONDS = 60.0  # for a transaction of ours, with a retry


@dataclass(frozen=True)
class Stage:
    """A lab, a Synapse that trusts its authority, and a user of that."""

    lab: Lab
    synapse: Synapse
    alice: User

    def call(
        self, method: str, server: Server, *steps: str, content: object = None
    ) -> Any:
        """Ask the control API about a server of the lab."""
        where = "v1", "servers", server.name, *steps
        return self.lab.link.call(method, *where, content=content, seconds=SECONDS)

    def room(self, version: str = "10", **new: object) -> tuple[Server, str, str]:
        """A server with a public room; the room's ID and its alias."""
        server = self.lab.server(listen="own")
        alias = f"#r{next(_numbers)}:{server.name}"
        content = {"preset": "public_chat", "room_version": version, "alias": alias}
        made = self.call("POST", server, "rooms", content=content | new)
        return server, made["room_id"], alias


@pytest.fixture(scope="module")
def stage(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Both run on the loopback interface; each test has servers of its own."""
    with synapse_in_lab(tmp_path_factory.mktemp("synapse")) as (lab, synapse, alice):
        yield Stage(lab, synapse, alice)


TEMPLATES: list[dict[str, object]] = [
    {"template.room-version": "99"},
    {"template.room-id": True},
    {"template.sender": True},
    {"template.state-key": True},
    {"template.type": True},
    {"template.no-event": True},
]
"""With these Synapse sends no join."""

REPLIES: list[dict[str, object]] = [
    {"send-join.no-create": True},
    {"send-join.other-version": True},
    {"send-join.banned": True},
    {"send-join.no-servers": True},
]
"""With these Synapse has sent the join, and is in no room all the same."""


@pytest.mark.parametrize("do", [*TEMPLATES, *REPLIES], ids=lambda do: next(iter(do)))
def test_synapse_does_not_join(stage: Stage, do: dict[str, object]) -> None:
    """Its user gets an error, and it knows nothing of a room."""
    server, room_id, alias = stage.room()
    put(stage.lab, server, do)
    status, answer = stage.alice.ask("POST", "join", alias, content={})
    assert status >= 400, answer
    assert acted(stage.lab, server)[0][1] >= 1
    status, _ = stage.alice.ask("GET", "rooms", room_id, "state")
    assert status == 403
    sent = server.exchanges(direction="in", kind="request", method="PUT")
    joins = [each for each in sent if "send_join" in (each.path or "")]
    assert bool(joins) == (do in REPLIES)


def test_synapse_writes_its_own_membership(stage: Stage) -> None:
    """It takes a proposed leave, and sends a join: no worse, and not what is right."""
    server, room_id, alias = stage.room()
    put(stage.lab, server, {"template.membership": True})
    stage.alice.do("POST", "join", alias, content={})
    steps = "rooms", room_id, "members"
    members = stage.call("GET", server, *steps)["members"]
    assert {"join"} == {each["membership"] for each in members}


@dataclass(frozen=True)
class Joined:
    """A room of the lab that Synapse's user is in."""

    stage: Stage
    server: Server
    room_id: str

    def forge(self, *spoil: str, kind: str = "m.room.message", **members: Any) -> str:
        """Send a wrong event, and a right one after it, which has to arrive."""
        body = {"type": kind, "spoil": spoil, **members}
        steps = "rooms", self.room_id
        made = self.stage.call("POST", self.server, *steps, "forge", content=body)
        right = {"type": "m.room.message", "content": {"body": "right"}}
        sent = self.stage.call("POST", self.server, *steps, "events", content=right)
        assert eventually(lambda: self.seen(sent["event_id"])) == {"body": "right"}
        event_id: str = made["event_id"]
        return event_id

    def seen(self, event_id: str) -> Any:
        """The content of an event, as Synapse's user sees it; None for none."""
        steps = "rooms", self.room_id, "event", event_id
        status, answer = self.stage.alice.ask("GET", *steps)
        assert status in {200, 403, 404}, answer
        return answer["content"] if status == 200 else None


@pytest.fixture(scope="module")
def joined(stage: Stage) -> Joined:
    """A room for all tests of events that change nothing."""
    server, room_id, alias = stage.room(name="N")
    stage.alice.do("POST", "join", alias, content={})
    return Joined(stage, server, room_id)


EVENTS: list[tuple[str, object]] = [
    ("signature", None),
    ("other-key", None),
    ("prev-events:21", None),
    ("auth-events:11", None),
    ("size", None),
    ("float", None),
    ("duplicate-auth", None),
    ("foreign-auth", None),
    ("create-auth", None),
    ("content", {}),
    ("hash", {}),
]
"""Each mistake, and the content that Synapse's user sees; None for no event."""


@pytest.mark.parametrize(("spoil", "content"), EVENTS)
def test_what_synapse_shows(joined: Joined, spoil: str, content: object) -> None:
    """It drops, rejects or redacts the event, and goes on with the room."""
    event_id = joined.forge(spoil, content={"body": "wrong"})
    assert joined.seen(event_id) == content


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("m.room.message", {"sender": "@ghost:{}"}),
        ("m.room.topic", {"sender": "@ghost:{}", "state_key": ""}),
        (
            "m.room.member",
            {"state_key": "@other:{}", "content": {"membership": "join"}},
        ),
    ],
)
def test_synapse_rejects(joined: Joined, kind: str, members: dict[str, Any]) -> None:
    """What the rules forbid is not part of the room."""
    named = {
        key: each.format(joined.server.name) if isinstance(each, str) else each
        for key, each in members.items()
    }
    event_id = joined.forge(kind=kind, **named)
    assert joined.seen(event_id) is None

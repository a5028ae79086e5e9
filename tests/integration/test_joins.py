"""Real endpoints of ours in rooms of each other: joins by ID or alias, and invites.

The rooms are made by the control API, and joined by it at the other endpoint.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.control.client import ControlError
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from scripts.processes import LOOPBACK, first_line, free_ports, make_endpoint
from tests.support.eventually import eventually
from tests.support.room_clients import Side

_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8", "::1"]

[sending]
first_retry_seconds = 0.2
max_retry_seconds = 0.5
"""


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """Two endpoints that run."""
    folder = tmp_path_factory.mktemp("joins")
    ports = free_ports(2)
    alpha, beta = (
        make_endpoint(
            folder / name, f"localhost:{port}", _CONFIGURATION, f"{LOOPBACK}:{port}"
        )
        for name, port in zip(("alpha", "beta"), ports, strict=True)
    )
    with alpha.running() as one, beta.running() as two:
        first_line(one)
        first_line(two)
        yield Side(alpha), Side(beta)


def same(one: Side, two: Side, room_id: str) -> None:
    """Both have the same state, event by event."""
    states = [{str(x): x for x in side.state(room_id)} for side in (one, two)]
    assert states[0] == states[1]


@pytest.mark.parametrize("version", tuple(ROOM_VERSIONS))
def test_joined(sides: tuple[Side, Side], version: str) -> None:
    """Beta joins by ID; the state is alpha's, and messages go both ways."""
    alpha, beta = sides
    room_id = alpha.create(version)
    joined = beta.post(room_id, "join", via=[alpha.name], displayname="Bob")
    assert (joined["room_id"], joined["room_version"]) == (room_id, version)
    assert joined["through"] == alpha.name
    assert joined["servers"] == sorted([alpha.name, beta.name])
    assert joined["failures"] == joined["left_out"] == []
    for one, two in ((alpha, beta), (beta, alpha)):
        event_id = one.say(room_id, "hello")
        eventually(lambda two=two, x=event_id: two.has(room_id, x))  # type: ignore[misc]
    same(alpha, beta, room_id)
    again = beta.post(room_id, "join")
    assert again["through"] is None
    eventually(lambda: alpha.has(room_id, again["event_id"]))


def test_by_alias(sides: tuple[Side, Side]) -> None:
    """An alias leads to its room; a server that is dead is passed over, and told."""
    alpha, beta = sides
    alias = f"#alias:{alpha.name}"
    room_id = alpha.create("12", alias=alias)
    [dead] = free_ports(1)
    joined = beta.post(alias, "join", via=[f"localhost:{dead}"])
    assert (joined["room_id"], joined["through"]) == (room_id, alpha.name)
    [failure] = joined["failures"]
    assert failure["server_name"] == f"localhost:{dead}"
    with pytest.raises(ControlError, match="M_NOT_FOUND"):
        beta.post(f"#none:{alpha.name}", "join")


def test_invited(sides: tuple[Side, Side]) -> None:
    """A private room is joined after an invite, or the invite is declined."""
    alpha, beta = sides
    room_id = alpha.create("11", preset="private_chat")
    bob, eve = beta.user("bob"), beta.user("eve")
    with pytest.raises(ControlError, match="M_FORBIDDEN"):
        beta.post(room_id, "join", user_id=bob)
    for user in (bob, eve):
        assert alpha.post(room_id, "invite", user_id=user)["verdict"] == "accepted"
    listed = beta.invites()
    assert {(each["room_id"], each["user_id"]) for each in listed} == {
        (room_id, bob),
        (room_id, eve),
    }
    assert "m.room.create" in {x["type"] for x in listed[0]["room_state"]}
    declined = beta.post(room_id, "leave", user_id=eve)
    assert [each["user_id"] for each in beta.invites()] == [bob]
    assert declined["through"] == alpha.name
    assert alpha.has(room_id, declined["event_id"])
    assert beta.post(room_id, "join", user_id=bob)["through"] == alpha.name
    assert beta.invites() == []
    same(alpha, beta, room_id)
    # Beta is in the room now: no other server is needed for more of its users.
    assert alpha.post(room_id, "invite", user_id=eve)["verdict"] == "accepted"
    eventually(lambda: beta.membership(room_id, eve) == "invite")
    assert beta.post(room_id, "join", user_id=eve)["through"] is None
    eventually(lambda: alpha.membership(room_id, eve) == "join")


def test_withdrawn(sides: tuple[Side, Side]) -> None:
    """An invite that is taken back is no invite any more; a knock is turned away."""
    alpha, beta = sides
    room_id = alpha.create("12", preset="private_chat")
    bob, creator = beta.user("bob"), alpha.user("creator")
    for what in ("leave", "ban"):
        alpha.post(room_id, "invite", user_id=bob)
        assert [each["room_id"] for each in beta.invites()] == [room_id]
        alpha.post(room_id, what, user_id=bob, sender=creator)
        eventually(lambda: beta.invites() == [])


def test_kicked_banned_and_back(sides: tuple[Side, Side]) -> None:
    """What one side does to users of the other reaches it; a room is joined again."""
    alpha, beta = sides
    room_id = alpha.create("10")
    bob = beta.user("bob")
    beta.post(room_id, "join", user_id=bob, via=[alpha.name])
    said = beta.post(
        room_id, "events", type="m.room.message", content={"body": "spam"}, sender=bob
    )["event_id"]
    eventually(lambda: alpha.has(room_id, said))
    gone = alpha.post(room_id, "redact", event_id=said)["event_id"]
    eventually(lambda: beta.has(room_id, gone))
    assert beta.get(room_id, "events", said)["redacted_by"] == gone
    creator = alpha.user("creator")
    alpha.post(room_id, "leave", user_id=bob, sender=creator)
    eventually(lambda: beta.membership(room_id, bob) == "leave")
    missed = alpha.say(room_id, "nobody of beta reads this")
    assert beta.post(room_id, "join", user_id=bob)["through"] == alpha.name
    same(alpha, beta, room_id)
    assert not beta.has(room_id, missed)
    alpha.post(room_id, "ban", user_id=bob)
    eventually(lambda: beta.membership(room_id, bob) == "ban")
    with pytest.raises(ControlError, match="banned"):
        beta.post(room_id, "join", user_id=bob)


def test_left(sides: tuple[Side, Side]) -> None:
    """The last user of a server leaves, and joins again."""
    alpha, beta = sides
    room_id = alpha.create("12")
    bob = beta.user("bob")
    beta.post(room_id, "join", user_id=bob, via=[alpha.name])
    left = beta.post(room_id, "leave", user_id=bob)
    assert left["through"] is None
    eventually(lambda: alpha.membership(room_id, bob) == "leave")
    alpha.post(
        room_id, "events", type="m.room.topic", state_key="", content={"topic": "T"}
    )
    assert beta.post(room_id, "join", user_id=bob)["through"] == alpha.name
    same(alpha, beta, room_id)
    event_id = alpha.say(room_id, "welcome back")
    eventually(lambda: beta.has(room_id, event_id))


def test_knocked(sides: tuple[Side, Side]) -> None:
    """A user knocks, takes that back, knocks again, and is let in."""
    alpha, beta = sides
    rule = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room_id = alpha.create("11", initial_state=[rule])
    bob = beta.user("bob")
    for _ in range(2):
        knocked = beta.post(room_id, "knock", user_id=bob, reason="let me in")
        assert knocked["through"] == alpha.name
        assert alpha.membership(room_id, bob) == "knock"
        beta.post(room_id, "leave", user_id=bob)
        assert alpha.membership(room_id, bob) == "leave"
    beta.post(room_id, "knock", user_id=bob)
    alpha.post(room_id, "invite", user_id=bob)
    beta.post(room_id, "join", user_id=bob)
    same(alpha, beta, room_id)


@pytest.mark.parametrize("version", ["8", "10", "12"])
def test_restricted(sides: tuple[Side, Side], version: str) -> None:
    """A user who is in the allowed room joins, and alpha signs that as well."""
    alpha, beta = sides
    allowed = alpha.create(version)
    content = {
        "join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": allowed}],
    }
    rule = {"type": "m.room.join_rules", "content": content}
    levels = {"invite": 50}
    room_id = alpha.create(version, initial_state=[rule], power_levels=levels)
    bob = beta.user("bob")
    with pytest.raises(ControlError, match="M_FORBIDDEN"):
        beta.post(room_id, "join", user_id=bob, via=[alpha.name])
    beta.post(allowed, "join", user_id=bob, via=[alpha.name])
    joined = beta.post(room_id, "join", user_id=bob, via=[alpha.name])
    same(alpha, beta, room_id)
    event = beta.get(room_id, "events", joined["event_id"])["event"]
    assert set(event["signatures"]) == {alpha.name, beta.name}
    # Beta may not invite there, so that another user of it needs alpha again.
    eve = beta.user("eve")
    beta.post(allowed, "join", user_id=eve)
    eventually(lambda: alpha.membership(allowed, eve) == "join")
    assert beta.post(room_id, "join", user_id=eve)["through"] == alpha.name
    eventually(lambda: alpha.membership(room_id, eve) == "join")


def test_large(sides: tuple[Side, Side]) -> None:
    """A room of more than a megabyte, as any large room is, is joined."""
    alpha, beta = sides
    room_id = alpha.create("12")
    for number in range(20):
        alpha.post(
            room_id,
            "events",
            type="m.large",
            state_key=str(number),
            content={"x": "x" * 60_000},
        )
    beta.post(room_id, "join", via=[alpha.name])
    same(alpha, beta, room_id)


@pytest.fixture
def gamma(tmp_path: Path) -> Iterator[Side]:
    """A third endpoint that runs."""
    [port] = free_ports(1)
    made = make_endpoint(
        tmp_path / "gamma", f"localhost:{port}", _CONFIGURATION, f"{LOOPBACK}:{port}"
    )
    with made.running() as process:
        first_line(process)
        yield Side(made)


@pytest.mark.parametrize("version", ["1", "9", "12"])
def test_through_one_that_joined(
    sides: tuple[Side, Side], gamma: Side, version: str
) -> None:
    """A server that has joined a room lets another one in; all three go on."""
    alpha, beta = sides
    room_id = alpha.create(version)
    for number in range(3):
        alpha.post(
            room_id,
            "events",
            type="m.room.topic",
            state_key="",
            content={"topic": str(number)},
        )
    alpha.post(room_id, "ban", user_id=beta.user("eve"))
    beta.post(room_id, "join", via=[alpha.name])
    joined = gamma.post(room_id, "join", via=[beta.name])
    assert (joined["through"], joined["left_out"]) == (beta.name, [])
    assert joined["servers"] == sorted([alpha.name, beta.name, gamma.name])
    eventually(lambda: alpha.membership(room_id, gamma.user("creator")) == "join")
    everybody = (alpha, beta, gamma)
    for one in everybody:
        event_id = one.say(room_id, "hello")
        for other in everybody:
            eventually(lambda o=other, e=event_id: o.has(room_id, e))  # type: ignore[misc]
    same(alpha, beta, room_id)
    same(beta, gamma, room_id)

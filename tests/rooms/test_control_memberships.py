"""The control API about memberships, in a room of ours and in those of others."""

from homeserver.protocol.canonical_json import Json
from tests.support.room_desk import ANN, BOB, Desk
from tests.support.signed_requests import US


def test_members() -> None:
    """Users are invited, leave, are kicked and banned."""
    desk = Desk()

    def bob() -> str:
        members = desk.get("members")["members"]
        [found] = [x["membership"] for x in members if x["user_id"] == BOB]
        return str(found)

    assert desk.post("invite", user_id=BOB)["verdict"] == "accepted"
    assert bob() == "invite"
    join: Json = {"membership": "join"}
    desk.post("events", type="m.room.member", state_key=BOB, sender=BOB, content=join)
    assert bob() == "join"
    assert len(desk.get("members?membership=join")["members"]) == 2
    desk.post("leave", user_id=BOB)
    assert bob() == "leave"
    desk.post("invite", user_id=BOB)
    kicked = desk.post("leave", user_id=BOB, sender=ANN, reason="enough")
    assert kicked["event"]["sender"] == ANN
    assert kicked["event"]["content"]["reason"] == "enough"
    banned = desk.post("ban", user_id="@eve:them.example")
    assert banned["event"]["sender"] == ANN
    assert "no route" in desk.post("invite", 502, user_id="@x:b.org")["error"]
    theirs = desk.post("leave", 400, user_id="@eve:them.example")
    assert "another server's user" in theirs["error"]
    [eve] = desk.get("members?membership=ban")["members"]
    assert eve["event_id"] == banned["event_id"]


def test_outside() -> None:
    """Without a server that answers, nothing is joined; the error names each."""
    desk = Desk()
    there = "/%21r%3Athem.example"
    for what in ("join", "knock", "leave"):
        body: Json = {"user_id": BOB, "via": ["b.org"]}
        error = desk.ask("POST", f"{there}/{what}", body, 502)["error"]
        assert f"{BOB} cannot {what}" in error
        assert "b.org" in error
        assert "them.example" in error
    nobody = desk.ask("POST", f"/%21{'a' * 43}/join", {}, 400)
    assert "name some in `via`" in nobody["error"]
    gone = desk.ask("POST", f"/%23none%3A{US}/join", {}, 404)
    assert "not known here" in gone["error"]
    foreign = desk.post("join", 400, user_id="@eve:them.example")
    assert "not a user of" in foreign["error"]
    assert [x["room_id"] for x in desk.ask("GET", "")["rooms"]] == [desk.room_id]

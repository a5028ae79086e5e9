"""Our own server asks a lying one for the state before an event, after a gap."""

from typing import Any

import pytest

from homeserver.lab.faults.states import STATE_FAULTS
from homeserver.testing import Lab
from tests.support.forged_events import ForgedRoom
from tests.support.lab_rules import acted, put

MEMBER, LEVELS, TOPIC = "m.room.member", "m.room.power_levels", "m.room.topic"

MANY = 31
"""State events that make our server ask for all of a state at once."""


class Gap:
    """A room in which the other server lacks some topics, and cannot have them."""

    def __init__(self, lab: Lab, version: str) -> None:
        self.room = ForgedRoom(lab, version)
        before = self.room.state(self.room.ours)[LEVELS, ""]["content"]
        users = {**before.get("users", {}), self.room.eve: 50}
        self.content = {**before, "users": users}
        self.older = self.room.send(LEVELS, self.content, "")
        self.newer = self.room.send(LEVELS, {**self.content, "kick": 60}, "")
        self.ban = self.room.send(MEMBER, {"membership": "ban"}, self.room.eve)

    def open(self, *faults: dict[str, object]) -> None:
        """Let events be missing, and let our answers have these faults."""
        for number in range(2):
            self.hide(TOPIC, "", {"topic": str(number)})
        put(self.room.lab, self.room.ours, {"missing.none": True})
        for do in faults:
            put(self.room.lab, self.room.ours, do)

    def hide(self, kind: str, key: str, content: object) -> None:
        """Take in an event of ours that the other server does not get."""
        self.room.forge(
            kind=kind, state_key=key, content=content, destinations=[], enter=True
        )

    def state(self) -> dict[tuple[str, str], Any]:
        """The current state of the other server."""
        return self.room.state(self.room.theirs)

    def holds(self) -> bool:
        """Whether the ban and the newer power levels hold for the other server."""
        state, user = self.state(), (MEMBER, self.room.eve)
        found = state[user]["content"]["membership"], state[LEVELS, ""]["content"]
        return found == ("ban", {**self.content, "kick": 60})


@pytest.mark.parametrize("version", ["1", "10", "12"])
@pytest.mark.parametrize("lie", ["a ban", "older levels", "both"])
def test_a_lie_does_not_win(lab: Lab, lie: str, version: str) -> None:
    """It is one branch: what the other server knows holds, and bans whom it bans."""
    gap = Gap(lab, version)
    ban = [gap.ban] if lie != "older levels" else []
    levels = [gap.newer] if lie != "a ban" else []
    do: dict[str, object] = {"state-ids.without": [*ban, *levels]}
    if levels:
        do["state-ids.with"] = [gap.older]
    gap.open(do)
    made = gap.room.forge(enter=True)
    assert gap.room.verdict(made["event_id"]) == "accepted"
    assert all(times for _, times in acted(lab, gap.room.ours))
    assert gap.holds()
    said = gap.room.forge(
        kind=TOPIC,
        state_key="",
        content={"topic": "by Eve"},
        sender=gap.room.eve,
        prev_events=[made["event_id"]],
        auth_events=_auth_of_eve(gap),
        enter=True,
    )
    assert gap.room.verdict(said["event_id"]) != "accepted"
    assert gap.state()[TOPIC, ""]["content"]["topic"] != "by Eve"
    assert gap.holds()


def _auth_of_eve(gap: Gap) -> list[str]:
    """What would authorise Eve, if there were no ban."""
    graph = gap.room.call("GET", gap.room.ours, *gap.room.at("graph"))["events"]
    [join] = [
        each["event_id"]
        for each in graph
        if each["type"] == MEMBER
        and each["state_key"] == gap.room.eve
        and each["event_id"] != gap.ban
    ]
    create = [x["event_id"] for x in graph if x["type"] == "m.room.create"]
    return [*(create if gap.room.version != "12" else []), gap.older, join]


@pytest.mark.parametrize("version", ["1", "10", "12"])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_rejected_event_in_a_state(lab: Lab, version: str, *, is_known: bool) -> None:
    """It is in no state of our server, whether or not that has it already."""
    gap = Gap(lab, version)
    bad = gap.room.forge(
        kind=TOPIC,
        state_key="",
        content={"topic": "rejected"},
        sender=f"@ghost:{gap.room.ours.name}",
        destinations=None if is_known else [],
        enter=True,
    )
    assert gap.room.verdict(bad["event_id"]) == ("rejected" if is_known else None)
    gap.open({"state-ids.with": [bad["event_id"]]})
    made = gap.room.forge(enter=True)
    assert gap.room.verdict(made["event_id"]) == "accepted"
    topic = gap.state().get((TOPIC, ""))
    assert topic is None or topic["content"]["topic"] != "rejected"
    assert gap.room.verdict(bad["event_id"]) == "rejected"
    assert gap.holds()


@pytest.mark.parametrize("name", [x for x in STATE_FAULTS if x.startswith("state.")])
def test_states_with_all_their_events(lab: Lab, name: str) -> None:
    """The IDs are right and the events lie: nothing is taken in as if it were whole."""
    gap = Gap(lab, "12")
    for number in range(MANY):
        gap.hide("m.room.x", str(number), {})
    gap.open({name: True})
    made = gap.room.forge(enter=True)
    assert gap.room.verdict(made["event_id"]) in {"accepted", None}
    assert all(times for _, times in acted(lab, gap.room.ours))
    assert gap.holds()
    assert gap.state().keys() - gap.room.state(gap.room.ours).keys() == set()

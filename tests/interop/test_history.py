"""The history of Synapse's rooms: from before we came, and from an absence."""

from functools import partial
from pathlib import Path

from scripts.processes import first_line
from tests.support.consistent_rooms import check_consistent
from tests.support.coroutines import result_of
from tests.support.eventually import eventually
from tests.support.room_clients import Side
from tests.support.stopped_endpoints import StoppedEndpoint
from tests.support.synapse_servers import Neighbourhood
from tests.support.synapse_users import User

VERSIONS = ("1", "6", "10", "12")


def test_history(installed: None, tmp_path: Path) -> None:
    """All of it is fetched and accepted; after an absence the gap is filled."""
    neighbourhood = Neighbourhood(tmp_path)
    synapse, ours = neighbourhood.make_both()
    side, rooms = Side(ours), dict[str, str]()
    with synapse.running():
        alice = User.register(synapse, "alice")
        with ours.running() as process:
            first_line(process)
            for version in VERSIONS:
                room_id = rooms[version] = alice.create_room(version)
                said = [alice.say(room_id, str(number)) for number in range(20)]
                side.post(room_id, "join", via=[synapse.name])
                done = side.post(room_id, "backfill", limit=1000)
                assert done["is_complete"], done
                assert {each["verdict"] for each in done["events"]} == {"accepted"}
                assert {each["event_id"] for each in done["events"]} >= set(said)
        last = {}
        for room_id in rooms.values():
            for number in range(30):
                content = {"topic": str(number)}
                steps = "rooms", room_id, "state", "m.room.topic"
                alice.do("PUT", *steps, content=content)
            last[room_id] = alice.say(room_id, "the last of many")
        with ours.running() as process:
            first_line(process)
            for room_id, event_id in last.items():
                again = alice.say(room_id, "are you there?")
                eventually(partial(side.has, room_id, again))
                assert side.has(room_id, event_id)
                [topic] = [
                    each["content"]
                    for each in side.state(room_id)
                    if each["type"] == "m.room.topic"
                ]
                assert topic == {"topic": "29"}
    stopped = StoppedEndpoint(ours).rooms
    for room_id in result_of(stopped.store.room_ids()):
        check_consistent(result_of(stopped.known(room_id)))

"""A server that was away for long: the gap is filled, and older history fetched.

Three real endpoints with shortened back-offs. What waited for the one that was away is
lost as well, so that it has to ask.
"""

from functools import partial
from pathlib import Path

import pytest

from scripts.processes import LOOPBACK, first_line, free_ports, make_endpoint
from tests.support.consistent_rooms import check_consistent
from tests.support.coroutines import result_of
from tests.support.eventually import eventually
from tests.support.room_clients import Side
from tests.support.stopped_endpoints import StoppedEndpoint

_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8", "::1"]

[sending]
first_retry_seconds = 0.2
max_retry_seconds = 0.5
"""

MISSED = 130  # more than one walk back reaches: the state in between is fetched


def topic(side: Side, room_id: str, text: str) -> str:
    """Set the topic; the ID of the event."""
    content = {"topic": text}
    sent = side.post(
        room_id, "events", type="m.room.topic", state_key="", content=content
    )
    return str(sent["event_id"])


@pytest.mark.parametrize("version", ["2", "12"])
def test_long_absence(tmp_path: Path, version: str) -> None:
    """The state is that of the others, and then the whole history."""
    names = ("alpha", "beta", "gamma")
    endpoints = [
        make_endpoint(
            tmp_path / name, f"localhost:{port}", _CONFIGURATION, f"{LOOPBACK}:{port}"
        )
        for name, port in zip(names, free_ports(3), strict=True)
    ]
    alpha, beta, gamma = map(Side, endpoints)
    with endpoints[0].running() as first, endpoints[1].running() as second:
        first_line(first)
        first_line(second)
        room_id = alpha.create(version)
        beta.post(room_id, "join", via=[alpha.name])
        for number in range(5):
            alpha.say(room_id, f"before gamma {number}")
        with endpoints[2].running() as third:
            first_line(third)
            gamma.post(room_id, "join", via=[alpha.name])
        for number in range(MISSED):
            topic(alpha, room_id, str(number))
        last = alpha.say(room_id, "that is all")
        eventually(partial(beta.has, room_id, last))
        for side in (alpha, beta):
            side.drop(gamma.name)
        with endpoints[2].running() as third:
            first_line(third)
            last = beta.say(room_id, "gamma is back")
            eventually(partial(gamma.has, room_id, last))
            assert gamma.state(room_id) == beta.state(room_id)
            done = gamma.post(room_id, "backfill", limit=1000)
            assert done["is_complete"]
            assert len(done["events"]) > MISSED // 10
            of_alpha = {x["event_id"] for x in alpha.get(room_id, "graph")["events"]}
            graph = gamma.get(room_id, "graph")
            assert {x["event_id"] for x in graph["events"]} >= of_alpha
            verdicts = {x["verdict"] for x in graph["events"]}
            assert verdicts == {"accepted"}
            assert gamma.state(room_id) == alpha.state(room_id)
            said = gamma.say(room_id, "hello")
            eventually(partial(alpha.has, room_id, said))
    rooms = StoppedEndpoint(endpoints[2]).rooms
    [room] = result_of(rooms.store.room_ids())
    check_consistent(result_of(rooms.known(room)))

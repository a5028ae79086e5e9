"""Whatever a server answers that we ask to fill a gap, the room stays sound.

A transaction is answered with 200, and the room in memory is the one in the store.
"""

from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.rooms.backfill import Backfill
from tests.support.coroutines import result_of
from tests.support.mutations import mutated_json
from tests.support.our_rooms import same
from tests.support.room_pair import Pair

FUZZ = settings(max_examples=25, deadline=None)

# From one seed. A draw of Hypothesis ends an example that is too long by an exception,
# and what comes into a reply is drawn while our server answers: it would say 500.
RANDOM = st.randoms(use_true_random=True)

ROUTES = ["get_missing_events", "event", "state_ids", "state", "event_auth", "backfill"]


def spoil(pair: Pair, random: Random) -> None:
    """Let the other server change something in each of its replies."""

    def change(reply: Json) -> Any:
        return mutated_json(random, [reply])

    pair.calls.change = dict.fromkeys(ROUTES, change)


@pytest.mark.parametrize("version", ["1", "10", "12"])
@FUZZ
@given(random=RANDOM)
def test_gap(version: str, random: Random) -> None:
    """A gap is filled or not."""
    pair = Pair(version)
    for number in range(random.choice([2, 130])):
        pair.send("m.room.topic", {"topic": str(number)}, "")
    last = pair.send()
    spoil(pair, random)
    assert last.event_id in pair.transact(last)
    assert pair.ours.current
    same(pair.ours, pair.side.ours.read(pair.theirs.room_id))


@pytest.mark.parametrize("version", ["1", "10", "12"])
@FUZZ
@given(random=RANDOM)
def test_backfill(version: str, random: Random) -> None:
    """History is fetched or not."""
    pair = Pair(version)
    last = pair.send()
    pair.transact(last)
    spoil(pair, random)
    before = pair.ours.extremities
    backfill = Backfill(pair.side.resident, pair.side.clock)
    with suppress(ProtocolError):
        result_of(backfill.fetch(pair.theirs.room_id, 1000))
    assert pair.ours.extremities == before
    same(pair.ours, pair.side.ours.read(pair.theirs.room_id))

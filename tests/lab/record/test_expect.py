"""Expectations of exchanges, and of silence, as a test waits for them."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.lab.record.expect import Expectation, Outcome, expect, quiet
from homeserver.lab.record.match import Match
from homeserver.lab.record.record import CutShort
from tests.support.exchanges import exchange
from tests.support.lab_records import PDUS, Waiting


def met(waiting: Waiting) -> Outcome:
    """The outcome of an expectation that is over."""
    [outcome] = waiting.results
    assert isinstance(outcome, Outcome)
    assert waiting.watches == 0
    return outcome


def test_what_is_recorded_already_meets_an_expectation() -> None:
    """A test may ask after the fact."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.start(expect(waiting.record, Expectation(Match(server="a.test"))))
    outcome = met(waiting)
    assert outcome.is_met
    assert [entry.id for entry in outcome.matched] == [1]


def test_an_expectation_counts_old_and_new_exchanges() -> None:
    """The third exchange that matches meets an expectation of three."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.start(expect(waiting.record, Expectation(Match(server="a.test"), 3)))
    for server in ["b.test", "a.test", "c.test"]:
        waiting.record.add(exchange(server=server))
    assert waiting.results == []
    waiting.record.add(exchange())
    assert [entry.id for entry in met(waiting).matched] == [1, 3, 5]


def test_exchanges_before_a_position_do_not_count() -> None:
    """A test that begins late asks for what came after it."""
    waiting = Waiting()
    waiting.record.add(exchange())
    wanted = Expectation(Match(), within=1, after=1)
    waiting.start(expect(waiting.record, wanted))
    assert waiting.results == []
    waiting.clock.advance(1)
    outcome = met(waiting)
    assert (outcome.is_met, outcome.matched, outcome.nearest) == (False, [], [])


def test_a_missed_expectation_names_what_was_nearest() -> None:
    """The fewest differences come first, newer exchanges before older ones."""
    waiting = Waiting()
    seen: list[dict[str, Any]] = [
        {"server": "b.test", "status": 401, "txn_id": "9"},
        {"status": 401},
        {"server": "b.test", "status": 401},
        {"status": None},
    ]
    for members in seen:
        waiting.record.add(exchange(PDUS, **members))
    match = Match(server="a.test", status=200, txn_id="1", room_id="!a:x")
    waiting.start(expect(waiting.record, Expectation(match, within=2)))
    waiting.clock.advance(2)
    outcome = met(waiting)
    assert not outcome.is_met
    assert [
        (miss.entry.id, {name: (d.wanted, d.seen) for name, d in miss.differs.items()})
        for miss in outcome.nearest
    ] == [
        (4, {"status": ("200", None)}),
        (2, {"status": ("200", "401")}),
        (3, {"server": ("a.test", "b.test"), "status": ("200", "401")}),
        (
            1,
            {
                "server": ("a.test", "b.test"),
                "status": ("200", "401"),
                "txn_id": ("1", "9"),
            },
        ),
    ]


def test_five_near_misses_are_enough() -> None:
    """What a reader would not compare is left out."""
    waiting = Waiting()
    for _ in range(20):
        waiting.record.add(exchange())
    waiting.start(expect(waiting.record, Expectation(Match(status=500), within=0)))
    assert [miss.entry.id for miss in met(waiting).nearest] == [20, 19, 18, 17, 16]


def test_never_is_met_by_silence() -> None:
    """Nothing may match for all of the time."""
    waiting = Waiting()
    wanted = Expectation(Match(server="a.test"), within=5, never=True)
    waiting.start(expect(waiting.record, wanted))
    waiting.record.add(exchange(server="b.test"))
    waiting.clock.advance(4.9)
    assert waiting.results == []
    waiting.clock.advance(0.2)
    assert met(waiting).is_met


@pytest.mark.parametrize("is_early", [True, False])
def test_never_fails_with_the_first_match(*, is_early: bool) -> None:
    """What must not happen fails the expectation at once, and is shown."""
    waiting = Waiting()
    if is_early:
        waiting.record.add(exchange())
    waiting.start(expect(waiting.record, Expectation(Match(), never=True)))
    if not is_early:
        waiting.record.add(exchange())
    outcome = met(waiting)
    assert not outcome.is_met
    assert len(outcome.matched) == 1
    assert outcome.nearest == ()


def test_silence_is_waited_for() -> None:
    """Each exchange that arrives begins the time anew; those that leave do not."""
    waiting = Waiting()
    waiting.start(quiet(waiting.record, waiting.clock, 2, 30))
    waiting.clock.advance(1.5)
    waiting.record.add(exchange())
    waiting.clock.advance(1.5)
    waiting.record.add(exchange(direction="out"))
    assert waiting.results == []
    waiting.clock.advance(0.5)
    assert waiting.results == [3.5]
    assert waiting.watches == 0


def test_only_the_named_servers_need_to_be_quiet() -> None:
    """Other tests of the same lab do not disturb the silence of one."""
    waiting = Waiting()
    waiting.start(quiet(waiting.record, waiting.clock, 2, 30, ["a.test"]))
    waiting.clock.advance(1)
    waiting.record.add(exchange(server="b.test"))
    waiting.clock.advance(1)
    assert waiting.results == [2]


def test_a_noisy_server_is_not_waited_for_for_ever() -> None:
    """Where silence would come too late, the wait ends."""
    waiting = Waiting()
    waiting.start(quiet(waiting.record, waiting.clock, 2, 5))
    for _ in range(4):
        waiting.clock.advance(1)
        waiting.record.add(exchange())
    assert waiting.results == []
    waiting.clock.advance(1)
    assert waiting.results == [None]
    assert waiting.watches == 0


WAITS: dict[str, Callable[[Waiting], object]] = {
    "expected": lambda it: expect(it.record, Expectation(Match(), 2)),
    "never": lambda it: expect(it.record, Expectation(Match(status=500), never=True)),
    "quiet": lambda it: quiet(it.record, it.clock, 2, 30),
}


@pytest.mark.parametrize("wait", WAITS)
def test_the_end_of_the_process_decides_nothing(wait: str) -> None:
    """A wait that is cut short is neither met nor missed, and none begins later."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.start(WAITS[wait](waiting))
    assert waiting.results == []
    waiting.record.end_waits()
    waiting.start(WAITS[wait](waiting))
    assert [failure.type for failure in waiting.results] == [CutShort, CutShort]
    assert waiting.watches == 0


def test_what_is_decided_outlives_the_process() -> None:
    """What has happened when the process ends is told, and so is what has not yet."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.record.end_waits()
    for wanted in (
        Expectation(Match()),
        Expectation(Match(), never=True),
        Expectation(Match(status=500), within=0, never=True),
    ):
        waiting.start(expect(waiting.record, wanted))
    assert [outcome.is_met for outcome in waiting.results] == [True, False, True]


def test_near_misses_at_the_wanted_server_are_found_in_a_crowd() -> None:
    """However much others have exchanged since, they do not push one out."""
    waiting = Waiting()
    waiting.record.add(exchange(status=401))
    for _ in range(2100):
        waiting.record.add(exchange(server="b.test"))
    match = Match(server="a.test", status=500)
    waiting.start(expect(waiting.record, Expectation(match, within=0)))
    nearest, *_ = met(waiting).nearest
    assert (nearest.entry.id, list(nearest.differs)) == (1, ["status"])

"""How many diagnoses there are in a second, and how much time they may take.

All clients together have a limit, and each has its share. Trusted clients have none.
"""

from twisted.internet.task import Clock

from homeserver.inbound.diagnoses import Diagnoses
from homeserver.inbound.diagnosis_budget import DiagnosisBudget
from homeserver.net.cooperate import Pace
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.coroutines import result_of
from tests.support.pdus import message
from tests.support.signed_requests import THEM, KnownKeys


def budget() -> tuple[DiagnosisBudget, Clock]:
    """A budget and its clock."""
    clock = Clock()
    return DiagnosisBudget(clock, lambda address: address == "10.0.0.1"), clock


def test_all_clients() -> None:
    """All clients together have five diagnoses a second, and each one of them."""
    shared, clock = budget()
    takes = [shared.take(f"192.0.2.{n}") for n in range(8)]
    assert takes == [True] * 5 + [False] * 3
    clock.advance(1)
    assert [shared.take("192.0.2.9") for _ in range(4)] == [True] * 3 + [False]
    clock.advance(1)
    assert [shared.take("192.0.2.9") for _ in range(2)] == [True, False]
    assert shared.take("192.0.2.10")


def test_processor_time() -> None:
    """Diagnoses take a twentieth of a core, however few there are."""
    shared, clock = budget()
    assert shared.take("192.0.2.1")
    shared.spend(0.3)
    assert not shared.take("192.0.2.2")
    assert shared.take("10.0.0.1")
    clock.advance(0.9)
    assert not shared.take("192.0.2.2")
    clock.advance(0.2)
    assert shared.take("192.0.2.2")


class _SlowClock(Clock):
    """A clock by which whatever is measured takes a third of a second."""

    def seconds(self) -> float:
        """As `Clock`."""
        self.advance(0.3)
        return super().seconds()


def test_a_diagnosis_is_paid_for() -> None:
    """The time that one took is counted, so that there is none for the next one."""
    shared, clock = budget()
    keys = KnownKeys(THEM).candidates
    diagnoses = Diagnoses(keys, shared, _SlowClock(), Pace(clock))
    changed = {**message(), "content": {"body": "other"}}
    for is_diagnosed in (True, False):
        found = diagnoses.of_event(changed, ROOM_VERSIONS["11"], "192.0.2.1")
        assert bool(result_of(found)) is is_diagnosed


def test_what_we_have_asked_for_is_diagnosed_as_well() -> None:
    """No client pays for it, and all of it together has the limit of all clients."""
    shared, _ = budget()
    taken = [shared.take(None) for _ in range(50)]
    assert taken[0]
    assert not taken[-1]

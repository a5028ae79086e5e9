"""Each failure in a row doubles the pause, up to a maximum."""

from twisted.trial.unittest import SynchronousTestCase

from homeserver.net import back_off
from homeserver.net.back_off import BackOff


class BackOffTests(SynchronousTestCase):
    """For how long failures are remembered."""

    def setUp(self) -> None:
        """Begin without a failure."""
        self.back_off: BackOff[str] = BackOff(3, 20)

    def fail_times(self, count: int, key: str = "a") -> list[float]:
        """For how long each of so many failures is remembered."""
        return [self.back_off.fail(key) for _ in range(count)]

    def test_each_failure_doubles_the_time(self) -> None:
        """Each failure is remembered for twice as long, up to the most there is."""
        assert self.fail_times(6) == [3, 6, 12, 20, 20, 20]

    def test_there_is_no_end_to_failing(self) -> None:
        """What has failed thousands of times fails for no longer, and not wrongly."""
        assert self.fail_times(5000)[-1] == 20

    def test_a_success_begins_anew(self) -> None:
        """After a success, whatever was before it, the next failure is the first."""
        self.back_off.succeed("a")
        self.fail_times(4)
        self.back_off.succeed("a")
        assert self.fail_times(3) == [3, 6, 12]

    def test_keys_fail_each_alone(self) -> None:
        """Neither failures nor successes of one key are those of another."""
        self.fail_times(2)
        assert self.fail_times(2, "b") == [3, 6]
        self.back_off.succeed("b")
        assert self.fail_times(1) == [12]

    def test_the_first_may_be_the_most(self) -> None:
        """No failure is remembered for longer than the most, not even the first."""
        self.back_off = BackOff(30, 20)
        assert self.fail_times(2) == [20, 20]

    def test_few_failures_are_remembered(self) -> None:
        """Where too many keys have failed, the oldest failure is forgotten."""
        self.patch(back_off, "MAX_KEYS", 3)
        self.back_off = BackOff(3, 20)
        self.fail_times(2)
        for key in "bcd":
            self.fail_times(1, key)
            assert len(self.back_off._failures) <= 3
        assert self.fail_times(1) == [3]
        assert self.fail_times(1, "d") == [6]

    def test_all_failures_are_forgotten(self) -> None:
        """The next failure of each key is its first."""
        self.fail_times(2)
        self.fail_times(1, "b")
        self.back_off.forget_all()
        assert self.fail_times(1) + self.fail_times(1, "b") == [3, 3]

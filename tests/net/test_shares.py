"""Which work has a slot, which gives way to others, and for how long a slot is kept."""

import contextlib

from twisted.internet.defer import CancelledError, Deferred

from homeserver.net.cause import Cause
from homeserver.net.shares import GaveWay, Shares
from tests.support.shared_slots import TRUSTED, SharesCase


class SlotTests(SharesCase):
    """What has a slot and what waits."""

    def test_free_slots_are_for_all(self) -> None:
        """While there are free slots, one client may have all of them."""
        filled = self.fill()
        assert len(self.running) == 4
        self.end("0")
        assert self.successResultOf(filled[0]) == "0"
        assert self.shares.bound.use() == 3

    def test_who_has_as_much_waits(self) -> None:
        """Without a free slot the next one waits, and begins when one is free."""
        self.fill()
        waiting = self.ask("a")
        self.assertNoResult(waiting)
        assert self.others() == []
        self.end("2")
        assert self.others() == ["a"]
        self.end("a")
        assert self.successResultOf(waiting) == "a"

    def test_an_error_frees_the_slot(self) -> None:
        """What fails fails as it does, and its slot is free."""
        filled = self.fill()
        self.ask("a")
        self.running["0"].errback(ValueError("x"))
        self.failureResultOf(filled[0], ValueError)
        assert self.others() == ["a"]

    def test_who_gives_up_waits_no_more(self) -> None:
        """A work that is cancelled leaves its place, and takes no slot."""
        self.fill()
        waiting = self.ask("a")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.end("0")
        assert self.others() == []
        assert self.shares.bound.use() == 3

    def test_works_that_are_done_at_once_are_not_nested(self) -> None:
        """A thousand works that wait and are done at once need no deep stack."""
        self.shares = Shares(("things", "things"), 1, 10_000, self.clock)
        claim = self.shares.claim(Cause("192.0.2.1"), "a.test")
        done: list[str] = []

        async def at_once() -> None:
            done.append("x")

        first = Deferred.fromCoroutine(self.shares.run("0", claim, self.work("0")))
        for number in range(2000):
            Deferred.fromCoroutine(self.shares.run(f"w{number}", claim, at_once))
        self.end("0")
        self.successResultOf(first)
        assert len(done) == 2000


class GivingWayTests(SharesCase):
    """Work that is cut off for others."""

    def test_the_oldest_of_the_largest_gives_way(self) -> None:
        """A client that has nothing goes before one that has all, and at once."""
        filled = self.fill()
        self.ask("a", "192.0.2.2")
        assert self.others() == ["a"]
        assert self.cut_off == ["0"]
        self.failureResultOf(filled[0], GaveWay)
        assert (self.shares.bound.use(), self.shares.bound.refusals) == (4, 1)
        # Until the shares are equal: two and two.
        self.ask("b", "192.0.2.2")
        self.ask("c", "192.0.2.2")
        assert self.others() == ["a", "b"]
        assert self.cut_off == ["0", "1"]

    def test_who_has_one_slot_keeps_it(self) -> None:
        """Where each has one slot, none is cut off for a newcomer."""
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}")
        waiting = self.ask("a", "192.0.2.50")
        self.assertNoResult(waiting)
        assert self.cut_off == []

    def test_domains(self) -> None:
        """A hundred clients that ask about one domain have one share."""
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}", "evil.test")
        self.ask("a", "192.0.2.50", "honest.test")
        assert self.others() == ["a"]
        self.assertNoResult(self.ask("b", "192.0.2.51", "evil.test"))

    def test_networks(self) -> None:
        """All addresses of an IPv6 /64 are one client; IPv4 addresses are not."""
        for number in range(4):
            self.ask(f"{number}", f"2001:db8::{number}")
        self.assertNoResult(self.ask("x", "2001:db8::ffff:1"))
        self.ask("a", "2001:db8:0:1::1")
        assert self.others() == ["a"]

    def test_targets(self) -> None:
        """Works that turn out to go to one address have one share."""
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}")
            self.shares.aim(f"{number}", ["198.51.100.1", "2001:db8::1"])
        self.ask("a", "192.0.2.50")
        assert self.others() == ["a"]
        self.shares.aim("nothing", ["198.51.100.1"])

    def test_a_work_that_answers_its_cancelling_gives_way_all_the_same(self) -> None:
        """What is made of being cut off is no result."""

        async def stubborn() -> str:
            with contextlib.suppress(CancelledError):
                await Deferred()
            return "no answer in time"

        claim = self.shares.claim(Cause("192.0.2.1"), "x.test")
        first = Deferred.fromCoroutine(self.shares.run("s", claim, stubborn))
        for number in range(3):
            self.ask(f"{number}")
        self.ask("a", "192.0.2.2")
        self.failureResultOf(first, GaveWay)
        assert self.others() == ["a"]

    def test_the_slot_of_what_gave_way_is_not_freed_twice(self) -> None:
        """What ends after it gave way lets no further work begin."""
        self.fill()
        self.ask("a", "192.0.2.2")
        self.ask("w")
        assert len(self.running) == 4
        assert self.others() == ["a"]
        assert self.shares.bound.use() == 4

    def test_who_is_trusted_keeps_to_no_share(self) -> None:
        """A client that is trusted gives way to none, and goes first."""
        self.fill("192.0.2.99")
        self.assertNoResult(self.ask("a", "192.0.2.2"))
        assert self.cut_off == []
        self.end("0")
        self.ask("t", "192.0.2.99")
        assert self.others() == ["a"]
        self.end("a")
        assert self.others() == ["t"]

    def test_we_ourselves_have_shares_of_domains_alone(self) -> None:
        """Our own works about many domains do not count together."""
        for number in range(4):
            self.ask(f"{number}", None)
        self.assertNoResult(self.ask("a", "192.0.2.2"))
        assert self.cut_off == []


class LeastTimeTests(SharesCase):
    """A slot that a stranger's work keeps for five seconds, however soon it is over."""

    least_seconds = 5.0

    def fill_and_end(self) -> None:
        """Let all slots be kept by works of clients of one kind, which are over."""
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}")
            self.end(f"{number}")

    def test_a_slot_is_taken_once(self) -> None:
        """As much begins in five seconds as there are slots; the next one then."""
        self.fill_and_end()
        self.ask("next", "192.0.2.50")
        self.clock.advance(4.9)
        assert self.others() == []
        self.clock.advance(0.1)
        assert self.others() == ["next"]

    def test_long_work_keeps_it_no_longer(self) -> None:
        """The time begins with the work."""
        self.fill()
        self.ask("next", "192.0.2.1")
        self.clock.advance(5.0)
        self.end("0")
        assert self.others() == ["next"]

    def test_a_smaller_share_takes_it(self) -> None:
        """Whoever asks for little does not wait for a crowd's; no work is refused."""
        for each in self.fill():
            self.end(next(iter(self.running)))
            self.successResultOf(each)
        self.ask("small", "192.0.2.50")
        assert self.others() == ["small"]
        assert self.shares.bound.refusals == 0
        self.end("small")
        self.clock.advance(5.0)
        assert self.shares.bound.use() == 0

    def test_what_is_over_goes_before_what_runs(self) -> None:
        """Where the largest share has both, nothing is cancelled."""
        self.fill()
        self.end("2")
        self.ask("small", "192.0.2.50")
        assert sorted(self.running) == ["0", "1", "3", "small"]
        assert self.cut_off == []

    def test_known_servers_and_ourselves_do_not_wait(self) -> None:
        """What is known, trusted or ours takes such a slot, and keeps none."""
        self.fill_and_end()
        for key, client in (("ours", None), ("trusted", TRUSTED)):
            self.ask(key, client)
            assert self.others() == [key]
            self.end(key)
        self.ask("known", "192.0.2.50", is_known=True)
        assert self.others() == ["known"]
        self.end("known")
        self.ask("stranger", "192.0.2.51")
        assert self.others() == ["stranger"]

    def test_what_is_over_is_not_joined(self) -> None:
        """Work that is wanted anew has the key, not the one that keeps its slot."""
        self.ask("shared")
        self.end("shared")
        self.fill()
        self.ask("shared")
        assert self.others() == []
        self.shares.join("shared", self.shares.claim(Cause("192.0.2.2"), "y.test"))
        assert self.others() == ["shared"]

    def test_who_is_known_has_the_next_one(self) -> None:
        """A known server that waits takes the slot of the first work that is over."""
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}")
        self.ask("known", "192.0.2.50", is_known=True)
        assert self.others() == []
        self.end("3")
        assert self.others() == ["known"]

"""Which work goes first where there is not enough for all, and which gives way."""

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.shares import GaveWay, Shares

Work = Callable[[], Coroutine[Deferred[Any], Any, str]]


TRUSTED = "192.0.2.99"


class SharesCase(SynchronousTestCase):
    """Four slots, and five places to wait for one."""

    least_seconds = 0.0

    def setUp(self) -> None:
        """Begin with nothing under way."""
        self.clock = Clock()
        self.shares = Shares(
            ("things", "things being done"),
            4,
            5,
            self.clock,
            TRUSTED.__eq__,
            self.least_seconds,
        )
        self.asked: list[Deferred[str]] = []
        self.running: dict[str, Deferred[str]] = {}
        """What is being done, by its key, in the order in which it began."""

        self.cut_off: list[str] = []

    def work(self, key: str) -> Work:
        """Something that is done until the test says so."""

        async def work() -> str:
            doing: Deferred[str] = Deferred(lambda _: self.cut_off.append(key))
            self.running[key] = doing
            try:
                return await doing
            finally:
                self.running.pop(key, None)

        return work

    def ask(
        self,
        key: str,
        client: str | None = "192.0.2.1",
        domain: str = "",
        *,
        is_known: bool = False,
    ) -> Deferred[str]:
        """Want something, of a domain of its own where none is given."""
        cause = OURSELVES if client is None else Cause(client)
        claim = self.shares.claim(cause, domain or f"of {key}", is_known=is_known)
        running = self.shares.run(key, claim, self.work(key))
        self.asked.append(Deferred.fromCoroutine(running))
        return self.asked[-1]

    def tearDown(self) -> None:
        """Let what gave way unseen be no error."""
        for each in self.asked:
            each.addErrback(lambda _: None)

    def fill(self, client: str = "192.0.2.1", domain: str = "") -> list[Deferred[str]]:
        """Let all slots be taken, for one client."""
        return [self.ask(f"{n}", client, domain) for n in range(4)]

    def end(self, key: str) -> None:
        """Let something be done."""
        self.running[key].callback(key)

    def others(self) -> list[str]:
        """What is under way but what filled the slots."""
        return [key for key in self.running if not key.isdigit()]


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


class OrderTests(SharesCase):
    """Which of those that wait goes first."""

    def test_the_smallest_share_goes_first(self) -> None:
        """Of those that wait, it is one that has the fewest slots."""
        for number in range(2):
            self.ask(f"{number}", "192.0.2.1")
        for number in range(2, 4):
            self.ask(f"{number}", f"192.0.2.{number}")
        for _ in range(9):  # although it asks for more
            self.shares.claim(Cause("192.0.2.2"), "x.test")
        self.ask("two", "192.0.2.1")
        self.ask("one", "192.0.2.2")
        self.end("3")
        assert self.others() == ["one"]

    def test_who_is_known_goes_before_strangers(self) -> None:
        """Of equal shares, a name that has proven something before goes first."""
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}")
        self.ask("stranger", "192.0.2.50")
        self.ask("known", "192.0.2.51", is_known=True)
        self.end("0")
        assert self.others() == ["known"]

    def test_who_asks_rarely_goes_first(self) -> None:
        """Of equal strangers, it is the client that has asked for less."""
        for _ in range(10):
            self.shares.claim(Cause("192.0.2.50"), "x.test")
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}")
        self.ask("often", "192.0.2.50")
        self.ask("rarely", "192.0.2.51")
        self.ask("late", "192.0.2.52")
        self.end("0")
        assert self.others() == ["rarely"]
        self.end("1")
        assert self.others() == ["rarely", "late"]

    def test_a_site_of_ipv6_asks_as_one(self) -> None:
        """Whoever has a /48 is not rare with a new /64 for each request."""
        for number in range(4):
            self.ask(f"{number}", f"2001:db8:0:{number}::1")
        for number in range(4, 8):
            self.ask(f"s{number}", f"2001:db8:0:{number}::1")
        self.ask("honest", "2001:db8:1::1")
        self.end("0")
        assert self.others() == ["honest"]

    def test_what_was_asked_is_forgotten(self) -> None:
        """After some minutes, a client that asked often is as any other one."""
        for _ in range(10):
            self.shares.claim(Cause("192.0.2.50"), "x.test")
        for _ in range(5):
            self.clock.advance(60)
            self.shares.claim(Cause("192.0.2.80"), "x.test")
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}")
        self.ask("often", "192.0.2.50")
        self.ask("rarely", "192.0.2.51")
        self.end("0")
        assert self.others() == ["often"]

    def test_one_who_joins_brings_its_share(self) -> None:
        """Work that an honest client wants as well goes first, as its own does."""
        self.fill()
        self.ask("shared")
        assert self.others() == []
        self.shares.join("shared", self.shares.claim(Cause("192.0.2.2"), "y.test"))
        assert self.others() == ["shared"]
        assert self.cut_off == ["0"]
        # Nor is it cut off for others, when it is under way.
        for key in "b", "c":
            self.ask(key, "192.0.2.3", f"{key}.test")
        assert "shared" in self.running

    def test_one_who_joins_a_work_under_way_protects_it(self) -> None:
        """Work that an honest client wants as well is not the one that gives way."""
        self.fill()
        self.shares.join("0", self.shares.claim(Cause("192.0.2.2"), "y.test"))
        self.ask("a", "192.0.2.3")
        assert self.cut_off == ["1"]

    def test_who_has_more_does_not_join(self) -> None:
        """A client that has much takes no share of another one away."""
        self.fill()
        self.ask("a", "192.0.2.2")
        self.shares.join("a", self.shares.claim(Cause("192.0.2.1"), "y.test"))
        self.ask("b", "192.0.2.3")
        assert self.cut_off == ["0", "1"]
        self.shares.join("nothing", self.shares.claim(Cause("192.0.2.1"), "y.test"))

    def test_the_same_key_again(self) -> None:
        """Work that was forgotten and is wanted anew is done beside the first."""
        first, second = self.ask("a"), self.ask("a")
        assert self.shares.bound.use() == 2
        self.end("a")
        self.successResultOf(second)
        self.assertNoResult(first)


class WaitingTests(SharesCase):
    """Where too many wait."""

    def test_the_largest_group_loses_its_last(self) -> None:
        """Of the client that has most waiting, the last work is refused."""
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}")
        crowd = [self.ask(f"c{n}", "192.0.2.50") for n in range(5)]
        honest = self.ask("honest", "192.0.2.51")
        self.failureResultOf(crowd[-1], GaveWay)
        self.assertNoResult(honest)
        late = self.ask("late", "192.0.2.50")
        self.failureResultOf(late, GaveWay)
        self.end("0")
        assert len(self.others()) == 1
        assert self.shares.bound.refusals == 2

    def test_of_equals_the_last_is_refused(self) -> None:
        """Where no client has more waiting than another, the newcomer is refused."""
        for number in range(9):
            self.ask(f"{number}", f"192.0.2.{number}")
        late = self.ask("late", "192.0.2.50")
        self.failureResultOf(late, GaveWay)

    def test_trusted_clients_may_fill_a_queue(self) -> None:
        """Where trusted clients ask too often, the last of them is refused."""
        waiting = [self.ask(f"{n}", TRUSTED) for n in range(1004)]
        late = self.ask("late", TRUSTED)
        self.failureResultOf(late, GaveWay)
        for each in waiting:
            self.assertNoResult(each)

    def test_our_own_work_is_not_of_the_crowd(self) -> None:
        """It takes no place of a client's, and a crowd takes none of it."""
        for number in range(4):
            self.ask(f"{number}", f"192.0.2.{number}")
        own = [self.ask(f"ours {n}", None, "one.test") for n in range(20)]
        crowd = [self.ask(f"c{n}", f"192.0.2.{n}") for n in range(50, 55)]
        for each in own + crowd:
            self.assertNoResult(each)
        self.failureResultOf(self.ask("late", "192.0.2.60"), GaveWay)
        for each in own:
            self.assertNoResult(each)

    def test_one_client_fills_the_queue_about_a_domain(self) -> None:
        """Another client that asks about that domain is not the one refused."""
        self.fill("192.0.2.1", "co.test")
        crowd = [self.ask(f"c{n}", "192.0.2.1", "co.test") for n in range(5)]
        honest = self.ask("honest", "192.0.2.2", "co.test")
        self.assertNoResult(honest)
        self.failureResultOf(crowd[-1], GaveWay)
        self.end("0")
        assert self.others() == ["honest"]

    def test_a_site_of_ipv6_is_refused(self) -> None:
        """A crowd of its networks loses its last, and nobody else does."""
        for number in range(4):
            self.ask(f"{number}", f"2001:db8:0:{number}::1")
        crowd = [self.ask(f"s{n}", f"2001:db8:0:{n}::1") for n in range(4, 9)]
        honest = self.ask("honest", "2001:db8:1::1")
        self.assertNoResult(honest)
        self.failureResultOf(crowd[-1], GaveWay)

    def test_who_asks_rarely_is_not_refused(self) -> None:
        """Of equals, it is one of those that ask again and again."""
        for number in range(9):
            self.ask(f"{number}", f"192.0.2.{number}")
            self.shares.claim(Cause(f"192.0.2.{number}"), "x.test")
        honest = self.ask("honest", "192.0.2.50")
        self.assertNoResult(honest)
        self.failureResultOf(self.asked[8], GaveWay)


class OurServersTests(SharesCase):
    """The slots are shared by several servers of ours."""

    def flood(self, count: int, first: int = 0) -> None:
        """Want something for a server of ours, from ever other clients and names."""
        for number in range(first, first + count):
            self.want("flooded", f"f{number}", f"192.0.2.{number}")

    def want(self, ours: str, key: str, client: str) -> Deferred[str]:
        """Want something for one of our servers."""
        claim = self.shares.claim(Cause(client), f"of {key}", ours=ours)
        running = Deferred.fromCoroutine(self.shares.run(key, claim, self.work(key)))
        self.asked.append(running)
        return running

    def test_a_flood_to_one(self) -> None:
        """A server with fewer slots takes one of the server that has most."""
        self.flood(4)
        self.assertEqual(list(self.running), ["f0", "f1", "f2", "f3"])
        self.want("other", "a", "198.51.100.1")
        self.want("other", "b", "198.51.100.2")
        self.assertEqual(len(self.cut_off), 2)
        self.assertEqual(set(self.running) & {"a", "b"}, {"a", "b"})
        # Two and two: nobody takes from the other.
        self.want("other", "c", "198.51.100.3")
        self.assertNotIn("c", self.running)

    def test_who_waits(self) -> None:
        """What waits for a server with fewer slots goes first, and is not refused."""
        self.flood(4)
        self.want("other", "a", "198.51.100.1")
        self.want("other", "b", "198.51.100.2")
        self.flood(4, first=10)
        waiting = self.want("other", "c", "198.51.100.3")
        self.flood(4, first=20)
        self.assertNoResult(waiting)
        self.running["a"].callback("done")
        self.assertIn("c", self.running)

    def test_who_is_refused(self) -> None:
        """Of too many that wait, one is refused of the server with the most."""
        self.flood(4)
        self.want("other", "a", "198.51.100.1")
        self.want("other", "b", "198.51.100.2")
        self.flood(4, first=10)
        # They are the largest waiting group, of one client.
        others = [self.want("other", key, "198.51.100.3") for key in "cd"]
        for each in others:
            self.assertNoResult(each)
        self.failureResultOf(self.asked[-3], GaveWay)

    def test_one_server(self) -> None:
        """Where all is for one server, the clients alone decide."""
        for number in range(4):
            self.want("one", f"f{number}", "192.0.2.1")
        self.want("one", "a", "198.51.100.1")
        self.assertEqual(self.cut_off, ["f0"])

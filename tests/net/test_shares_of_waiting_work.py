"""Which work that waits for a slot goes first, and which is refused."""

from homeserver.net.cause import Cause
from homeserver.net.shares import GaveWay
from tests.support.shared_slots import TRUSTED, SharesCase


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

"""The slots that several servers of ours share."""

from twisted.internet.defer import Deferred

from homeserver.net.cause import Cause
from homeserver.net.shares import GaveWay
from tests.support.shared_slots import SharesCase


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

"""How long a connection may take for a request, and for its end.

A request has its time from its first byte. The time that a resource takes is not
counted.
"""

from email.utils import formatdate

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.byte_cuts import byte_by_byte
from tests.support.http_connection import Connection, request, site
from tests.support.manual_resource import Desk


class TimeTests(SynchronousTestCase):
    """How long a connection may take."""

    def setUp(self) -> None:
        """Connect to a site that gives each request half a minute."""
        self.clock = Clock()
        self.desk = Desk(waits=True)
        self.connection = Connection(
            site(self.desk, request_seconds=30, clock=self.clock)
        )

    def test_silent_connection(self) -> None:
        """A connection that says nothing is closed when its time is over."""
        self.clock.advance(29)
        self.assertFalse(self.connection.is_closed)
        self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)
        self.assertEqual(self.connection.answers(), [])

    def test_request_that_comes_byte_by_byte(self) -> None:
        """A request that does not come whole in time is cut off, busy or not."""
        data = request("PUT", "/", ["X: y"] * 20, body=b"{}")
        for byte in byte_by_byte(data)[:30]:
            self.assertFalse(self.connection.is_closed)
            self.connection.send(byte)
            self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)

    def test_body_that_comes_byte_by_byte(self) -> None:
        """Neither is a body given new time by each of its bytes."""
        self.connection.send(request("PUT", "/", ["Content-Length: 100"]))
        for _ in range(30):
            self.assertFalse(self.connection.is_closed)
            self.connection.send(b"x")
            self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)
        self.assertEqual(self.desk.taken, [])
        [answer] = self.connection.answers()
        self.assertEqual(answer.error, (408, "M_UNKNOWN"))
        self.clock.advance(1.9)
        self.assertFalse(self.connection.is_aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.connection.is_aborted)

    def test_time_runs_from_the_first_byte(self) -> None:
        """A request after a long silence has its whole time."""
        self.clock.advance(29)
        self.connection.send(b"GET / HT")
        self.clock.advance(29)
        self.connection.send(b"TP/1.1\r\nHost: us.example\r\n\r\n")
        self.assertEqual(len(self.desk.taken), 1)

    def test_next_request_has_its_own_time(self) -> None:
        """After an answer, the time begins anew."""
        self.clock.advance(20)
        self.connection.send(request("GET", "/"))
        self.desk.results[0].callback(None)
        self.clock.advance(29)
        self.assertFalse(self.connection.is_closed)
        self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)

    def test_next_request_has_its_whole_time(self) -> None:
        """After an answer and a silence, a request has time from its first byte."""
        self.connection.send(request("GET", "/"))
        self.desk.results[0].callback(None)
        self.clock.advance(29)
        self.connection.send(b"GET / HT")
        self.clock.advance(29)
        self.connection.send(b"TP/1.1\r\nHost: us.example\r\n\r\n")
        self.assertEqual(len(self.desk.taken), 2)

    def test_work_is_not_cut_off(self) -> None:
        """The time that a resource takes does not count."""
        self.connection.send(request("GET", "/"))
        self.clock.advance(3600)
        self.desk.results[0].callback(None)
        self.assertEqual([a.status for a in self.connection.answers()], [200])

    def test_time_after_long_work(self) -> None:
        """After an answer that took longer, the next request has its own time too."""
        self.test_work_is_not_cut_off()
        self.clock.advance(29)
        self.assertFalse(self.connection.is_closed)
        self.clock.advance(1)
        self.assertTrue(self.connection.is_closed)

    def test_date(self) -> None:
        """Each answer tells the second at which its request was there."""
        for number, seconds in enumerate([1_800_000_000, 0.25, 1, 86400]):
            self.clock.advance(seconds)
            connection = Connection(site(self.desk, clock=self.clock))
            connection.send(request("GET", "/"))
            self.desk.results[number].callback(None)
            [answer] = connection.answers()
            self.assertEqual(
                answer.headers["date"],
                formatdate(int(self.clock.seconds()), usegmt=True),
            )

    def test_one_call_for_all_requests(self) -> None:
        """However many requests there were, the clock has one call of a connection."""
        for number in range(3):
            self.connection.send(request("GET", "/"))
            self.desk.results[number].callback(None)
            self.clock.advance(20)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_peer_that_does_not_close(self) -> None:
        """A closed connection whose peer does not close is aborted soon."""
        self.connection.send(request("GET", "/", ["Connection: close"]))
        self.desk.results[0].callback(None)
        self.assertTrue(self.connection.is_closed)
        self.clock.advance(14)
        self.assertFalse(self.connection.is_aborted)
        self.clock.advance(1)
        self.assertTrue(self.connection.is_aborted)

    def test_refused_peer_that_does_not_close(self) -> None:
        """One that was refused has two seconds to read the answer."""
        self.connection.send(b"nonsense\r\n")
        self.assertTrue(self.connection.is_closed)
        self.clock.advance(1.9)
        self.assertFalse(self.connection.is_aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.connection.is_aborted)

    def test_refused_peer_that_sends_on(self) -> None:
        """Nor may it send without an end meanwhile."""
        self.connection.send(b"nonsense\r\n")
        self.connection.send(b"x" * 2**24)
        self.assertFalse(self.connection.is_aborted)
        self.connection.send(b"x")
        self.assertTrue(self.connection.is_aborted)

    def test_time_is_over_while_closing(self) -> None:
        """The end of a request's time changes nothing where the end has begun."""
        self.clock.advance(25)
        self.connection.send(b"n")
        self.clock.advance(29)
        self.connection.send(b"onsense\r\n")
        self.clock.advance(1.9)
        self.assertFalse(self.connection.is_aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.connection.is_aborted)
        self.assertEqual([a.status for a in self.connection.answers()], [400])

    def test_peer_that_closes(self) -> None:
        """Of a connection that is gone, nothing is left that waits."""
        self.connection.send(b"nonsense\r\n")
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_peer_that_was_cut_off(self) -> None:
        """Nor is anything left of one that was aborted."""
        self.connection.send(b"nonsense\r\n")
        self.clock.advance(15)
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_peer_that_closes_first(self) -> None:
        """Nor of one that the peer closed in the middle of a request."""
        self.connection.send(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nx")
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

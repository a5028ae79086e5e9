"""For how long a document is kept, and for how long it is known that there is none."""

from collections.abc import Callable

from homeserver.outbound.discovery.well_known import Delegation, WellKnown
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName
from tests.support.memory_tls_servers import ok
from tests.support.outbound_stack import SELF_SIGNED
from tests.support.well_known_websites import DOCUMENT, WellKnownTestCase, redirect

DAY = 86400.0


class KeepingTests(WellKnownTestCase):
    """For how long what was found is known."""

    def assert_kept(self, seconds: float) -> None:
        """See that a host is asked again after this time, and not before."""
        self.net.clock.advance(seconds - 0.1)
        self.ask().addErrback(lambda failure: failure.trap(LookupFailed))
        assert self.net.dialled == []
        self.net.clock.advance(0.1)
        self.assertNoResult(self.ask())
        assert self.net.dialled == [("192.0.2.1", 443)]

    def test_document(self) -> None:
        """A document is kept for as long as its headers say, within bounds."""
        cases = [
            ("", 86400),
            ("Cache-Control: max-age=3600\r\n", 3600),
            ("Cache-Control: no-store\r\n", 300),
            ("Cache-Control: max-age=999999\r\n", 172800),
            ("Expires: Thu, 01 Jan 1970 05:00:00 GMT\r\n", 7200),
        ]
        for headers, seconds in cases:
            with self.subTest(headers):
                self.setUp()
                self.net.clock.advance(3 * 3600)  # from 00:00 on that day
                self.found(self.answer(ok(b'{"m.server":"b.test"}', headers)))
                self.assert_kept(seconds)

    def test_headers_of_the_last_response(self) -> None:
        """How long a document is kept is not for a redirect to say."""
        away = ok(b"", "Location: /a\r\nCache-Control: no-store\r\n", "302 Found")
        document = ok(b'{"m.server":"b.test"}', "Cache-Control: max-age=3600\r\n")
        self.found(self.answer(away, document))
        self.assert_kept(3600)

    def test_failures(self) -> None:
        """An answer that is no delegation is known for an hour, whatever it says."""
        headers = "Cache-Control: max-age=86400\r\n"
        for answer in (
            ok(b"", headers, status="404 Not Found"),
            ok(b"[]", headers),
            redirect("http://www.test/"),
        ):
            with self.subTest(answer):
                self.setUp()
                self.reason(self.answer(answer))
                self.assert_kept(3600)

    def test_no_connection(self) -> None:
        """A host without an answer is tried again in a minute, then in two."""
        asked = self.ask()
        for seconds in (60, 120, 240, 480, 960, 1920, 3600, 3600):
            self.net.accept(SELF_SIGNED)
            self.reason(asked)
            self.net.clock.advance(seconds - 0.1)
            self.reason(self.ask())
            self.net.clock.advance(0.1)
            asked = self.ask()

    def test_floor(self) -> None:
        """It is known of a document whether its server asks for less than is kept."""
        for headers, is_kept_longer in [
            ("Cache-Control: max-age=299\r\n", True),
            ("Cache-Control: max-age=300\r\n", False),
            ("Cache-Control: no-store\r\n", True),
            ("Expires: 0\r\n", True),
            ("", False),
        ]:
            with self.subTest(headers):
                self.setUp()
                self.found(self.answer(ok(b'{"m.server":"b.test"}', headers)))
                [kept] = self.well_known.answers.kept()
                name = ServerName.parse("b.test")
                assert kept.value == Delegation(name, is_kept_longer)

    def test_forgotten_failures(self) -> None:
        """A host that was forgotten is tried at once, and in a minute, as at first."""
        forgetting: list[Callable[[WellKnown], None]] = [
            lambda well_known: well_known.forget("Peer.test"),
            WellKnown.forget_all,
        ]
        for forget in forgetting:
            self.setUp()
            self.fail_to_connect()
            self.net.clock.advance(60)
            self.fail_to_connect()
            forget(self.well_known)
            self.fail_to_connect()
            self.assert_kept(60)

    def test_answer_after_failures(self) -> None:
        """A host that has answered again is tried again in a minute, as at first."""
        for answer in (ok(b"[]"), DOCUMENT):
            self.setUp()
            for seconds in (60, 120):
                self.fail_to_connect()
                self.net.clock.advance(seconds)
            answered = self.answer(answer)
            answered.addErrback(lambda failure: failure.trap(LookupFailed))
            self.net.clock.advance(2 * DAY)
            self.fail_to_connect()
            self.assert_kept(60)

    def fail_to_connect(self) -> None:
        """Ask, and get no answer."""
        asked = self.ask()
        self.net.accept(SELF_SIGNED)
        self.reason(asked)

    def test_nothing_is_kept_beside_the_reason(self) -> None:
        """What is kept of a failure holds no frames, in which is what was received."""
        for answer in (ok(b"[]"), ok(b"", status="404 Not Found"), b"?\r\n"):
            self.setUp()
            self.reason(self.answer(answer))
            [kept] = self.well_known.answers.kept()
            assert isinstance(kept.value, LookupFailed)
            assert kept.value.__traceback__ is None
            assert kept.value.__context__ is None

    def test_no_answer_in_time(self) -> None:
        """A host that does not answer is not waited for again for a minute."""
        asked = self.ask()
        self.net.clock.tcpClients.clear()
        self.net.clock.advance(10)
        self.reason(asked)
        self.assert_kept(60)

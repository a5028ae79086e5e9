"""A peer whose certificate proves nothing is asked for its key document alone."""

from tests.support.connecting import UNTRUSTED, ConnectorTestCase, SlowStore
from tests.support.memory_tls_servers import ok
from tests.support.outbound_stack import GOOD, SELF_SIGNED, key_document

KEY_REQUEST = b"GET /_matrix/key/v1 HTTP/1.1\r\n"


class KeyDocumentTests(ConnectorTestCase):
    """With the second method."""

    methods = ("certificate", "key-document")

    def test_document_is_asked_for(self) -> None:
        """A certificate that proves nothing is not the end of it."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        self.assertNoResult(connecting)
        assert wire.peer.received.startswith(KEY_REQUEST)
        wire.say(ok(key_document(SELF_SIGNED)))
        assert self.link(connecting).peer.verified_by == "key-document"

    def test_both_methods_fail(self) -> None:
        """Each method says what is wrong by it."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(b"{}", status="500 Internal Server Error"))
        [attempt] = self.attempts(connecting)
        start = (
            f"192.0.2.1:8448: 192.0.2.1 is not verified: by certificate: {UNTRUSTED}"
        )
        assert attempt.startswith(f"{start} (it names ")
        assert attempt.endswith(
            "; add it to `ca_file` (of a lab: start it with `--trust FILE`), or serve "
            "`/_matrix/key/v1`); "
            "by key-document: /_matrix/key/v1 answers with status 500"
        )
        assert wire.tcp.disconnecting

    def test_document_in_time(self) -> None:
        """A peer that gives no document in ten seconds is given up."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        self.net.clock.advance(10)
        [attempt] = self.attempts(connecting)
        assert "/_matrix/key/v1 gets no answer: " in attempt
        assert "no answer in time" in attempt
        assert wire.tcp.disconnecting

    def test_peer_that_is_gone_is_not_asked(self) -> None:
        """A peer that hangs up after the handshake is not waited for."""
        store = SlowStore()
        self.make_stack(database=store)
        connecting = self.connect("192.0.2.1")
        self.net.accept(SELF_SIGNED).hang_up()
        store.go_on()
        [attempt] = self.attempts(connecting)
        assert "the peer ended the connection" in attempt

    def test_peer_that_is_gone_is_refused(self) -> None:
        """A peer that hangs up before it is refused is refused as any other one."""
        store = SlowStore()
        self.make_stack(database=store)
        first = self.connect("192.0.2.1")
        self.net.accept(GOOD)
        store.go_on()
        self.link(first)
        connecting = self.connect("192.0.2.1")
        self.net.accept(SELF_SIGNED).hang_up()
        store.go_on()
        [attempt] = self.attempts(connecting)
        assert "was verified by its certificate before" in attempt

    def test_document_of_reasonable_size(self) -> None:
        """A document of more than 64 KiB is not read."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(b" " * 65537))
        [attempt] = self.attempts(connecting)
        assert "/_matrix/key/v1 gets no answer: 'over 65536 bytes'" in attempt

    def test_nothing_but_the_document_is_asked_for(self) -> None:
        """A peer that is not verified gets one request, and that without a body."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(b"[]"))
        self.attempts(connecting)
        wire.flush()
        assert wire.peer.received.count(b"\r\n\r\n") == 1
        assert wire.peer.received.endswith(b"\r\n\r\n")

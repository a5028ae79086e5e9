"""The well-known document: how a website is asked for it, and which ones delegate."""

from collections.abc import Callable

from homeserver.outbound.discovery.well_known import PATH
from homeserver.protocol.discovery import LookupFailed
from tests.support.memory_tls_servers import ok
from tests.support.outbound_stack import GOOD, SELF_SIGNED
from tests.support.well_known_websites import (
    DOCUMENT,
    WellKnownTestCase,
    indicated_name,
    redirect,
)

MAX_BODY_BYTES = 50 * 1024


class DocumentTests(WellKnownTestCase):
    """What a document may be."""

    def test_delegation(self) -> None:
        """A document names the server that a host delegates to."""
        for name in ("b.test", "b.test:7", "192.0.2.9", "[2001:db8::1]:9", "B.Test"):
            self.setUp()
            asked = self.answer(ok(b'{"m.server":"%s"}' % name.encode()))
            assert self.found(asked) == name

    def test_record(self) -> None:
        """The connection and the request of a document are exchanges of their own."""
        self.found(self.answer(ok(b'{"m.server":"b.test"}')))
        connection, request = self.recorded
        assert connection.kind == "connection"
        assert (request.kind, request.path) == ("request", PATH)
        assert (request.peer, request.address) == ("peer.test", "192.0.2.1")
        assert request.status == 200

    def test_other_members(self) -> None:
        """What else stands in a document is not looked at."""
        asked = self.answer(ok(b' {"a":[1],"m.server":"b.test","m.x":null}\n'))
        assert self.found(asked) == "b.test"

    def test_content_type(self) -> None:
        """A document is read whatever the peer says that it is."""
        for value in ("text/html", "application/octet-stream", "image/png", "?", ""):
            self.setUp()
            asked = self.answer(
                ok(b'{"m.server":"b.test"}', f"Content-Type: {value}\r\n")
            )
            assert self.found(asked) == "b.test"

    def test_headers_of_any_bytes(self) -> None:
        """Headers that are no text are none of our business."""
        odd = b"%s: caf\xe9\xff\r\n"
        names = (b"Content-Type", b"Cache-Control", b"Expires", b"Server", b"Location")
        response = ok(b'{"m.server":"b.test"}')
        head, _, body = response.partition(b"\r\n\r\n")
        headers = b"".join(odd % name for name in names)
        asked = self.answer(head + b"\r\n" + headers + b"\r\n" + body)
        assert self.found(asked) == "b.test"

    def test_bad_documents(self) -> None:
        """A document that names no server is no delegation."""
        cases = [
            (b"", "not JSON"),
            (b"<html>", "not JSON"),
            (b"\xff", "not JSON"),
            (b'{"m.server":"b.test"', "not JSON"),
            (b'{"m.server":"b.test"}x', "not JSON"),
            (b"[" * 5000 + b"]" * 5000, "JSON nested"),
            (b"[]", "the body is not a JSON object"),
            (b'"b.test"', "the body is not a JSON object"),
            (b"null", "the body is not a JSON object"),
            (b"{}", "`m.server` is missing"),
            (b'{"m.server":5}', "`m.server` is not a string"),
            (b'{"m.server":null}', "`m.server` is not a string"),
            (b'{"m.server":["b.test"]}', "`m.server` is not a string"),
            (b'{"M.Server":"b.test"}', "`m.server` is missing"),
            (b'{"m.server":"b.test","m.server":"c.test"}', "a member occurs twice"),
            (b'{"m.server":""}', "not a server name"),
            (b'{"m.server":"b_c"}', "not a server name: each label of 'b_c' must be"),
            (b'{"m.server":"b.test:0"}', "not a server name"),
            (b'{"m.server":"https://b.test"}', "not a server name"),
            (b'{"m.server":" b.test"}', "not a server name"),
            (b'{"m.server":"caf\xc3\xa9.test"}', "not a server name"),
            (b'{"m.server":"%s"}' % (b"a" * 9999), "not a server name"),
            (b'{"m.server":"127.1"}', "not a server name"),
        ]
        for body, reason in cases:
            with self.subTest(body[:40]):
                self.setUp()
                said = self.reason(self.answer(ok(body)))
                assert reason in said

    def test_status(self) -> None:
        """A response of any other status than 200 is no delegation."""
        for status in (201, 204, 206, 300, 304, 305, 400, 403, 404, 410, 500, 503, 999):
            self.setUp()
            body = b"" if status in {204, 304} else b'{"m.server":"b.test"}'
            asked = self.answer(
                ok(body, "Location: /elsewhere\r\n", status=f"{status} Status")
            )
            assert self.reason(asked) == f"status {status}"

    def test_largest_document(self) -> None:
        """A document may have 50 KiB."""
        body = b'{"m.server":"b.test"}'.ljust(MAX_BODY_BYTES)
        assert self.found(self.answer(ok(body))) == "b.test"

    def test_document_too_large(self) -> None:
        """A document of more than 50 KiB is not read to its end."""
        body = b'{"m.server":"b.test"}'.ljust(MAX_BODY_BYTES + 1)
        endless = b"HTTP/1.1 200 OK\r\n\r\n" + body
        for response in (ok(body), endless):
            self.setUp()
            asked = self.ask()
            wire = self.net.accept(GOOD)
            wire.say(response)
            assert self.reason(asked) == "over 51200 bytes"
            self.assert_ended(wire)

    def test_head_too_large(self) -> None:
        """A head without end is not read."""
        head = b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 20_000
        assert self.reason(self.answer(head)) == "over 116736 bytes"

    def test_nonsense(self) -> None:
        """What is not HTTP is no delegation."""
        assert "ESMTP" in self.reason(self.answer(b"220 ESMTP \x1b[31m\r\n"))

    def test_reasons(self) -> None:
        """An answer that is no delegation and no answer have words of their own."""
        cases: list[tuple[Callable[[], object], str]] = [
            (lambda: self.net.refuse(None), "no_answer"),
            (lambda: self.net.accept(GOOD).hang_up(), "no_answer"),
            (lambda: self.net.accept(SELF_SIGNED), "no_answer"),
            (lambda: self.net.clock.advance(10), "no_answer"),
            (
                lambda: self.net.accept(GOOD).say(ok(b"", status="404 No")),
                "no_delegation",
            ),
            (lambda: self.net.accept(GOOD).say(ok(b"{}")), "no_delegation"),
        ]
        for happen, reason in cases:
            self.setUp()
            asked = self.ask()
            happen()
            problem = self.failureResultOf(asked, LookupFailed).value
            assert isinstance(problem, LookupFailed)
            assert problem.reason == reason


class RequestTests(WellKnownTestCase):
    """What is sent to each host."""

    def test_request(self) -> None:
        """A website is asked on its own port for the document, and told no more."""
        self.ask()
        assert self.net.dialled == [("192.0.2.1", 443)]
        wire = self.net.accept(GOOD)
        head, *lines = wire.peer.received.decode().split("\r\n")
        assert head == "GET /.well-known/matrix/server HTTP/1.1"
        assert "Host: peer.test" in lines
        assert {line.partition(":")[0] for line in lines} == {"", "Host", "User-Agent"}

    def test_name_is_told(self) -> None:
        """The handshake says for which host the certificate has to be."""
        self.ask()
        assert indicated_name(self.net.accept(GOOD)) == b"peer.test"

    def test_connections_are_ended(self) -> None:
        """Whatever came, nothing is left of a connection."""
        for said in (DOCUMENT, redirect("/a"), redirect("no"), ok(b""), b"?\r\n"):
            with self.subTest(said):
                self.setUp()
                self.ask().addErrback(lambda failure: failure.trap(LookupFailed))
                wire = self.net.accept(GOOD)
                wire.say(said)
                self.assert_ended(wire)

"""The name that a host delegates to, and all that can be wrong with its document."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import cast

import pytest
from cryptography import x509
from msgspec.structs import replace
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from homeserver.net.addresses import AddressPolicy, AddressRange
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.exchange import Exchange, Exchanges
from homeserver.outbound.discovery.freshness import asked_seconds, within_bounds
from homeserver.outbound.discovery.well_known import PATH, Delegation, WellKnown
from homeserver.outbound.transport.budget import Budgets, OverBudget
from homeserver.outbound.transport.dialer import Dialer, Target
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import issue, issue_for
from tests.support.memory_tls_servers import Net, Wire, ok, start
from tests.support.outbound_stack import CA, GOOD, SELF_SIGNED, Names, trusting

WWW = issue_for("www.test", CA)
"""The certificate of a host that is redirected to."""

NUMBERS = issue(
    "numbers",
    [x509.IPAddress(ip_address(each)) for each in ("192.0.2.3", "2001:db8::3")],
    issuer=CA,
)
"""The certificate of addresses that are redirected to."""

DOCUMENT = ok(b'{"m.server":"b.test:7"}')

NOT_IN_TIME = "no complete answer within 10 seconds"

MAX_BODY_BYTES = 50 * 1024


class LateNames(Names):
    """A DNS that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Deferred[list[str]] = Deferred()

    async def addresses(self, host: str, cause: Cause) -> list[str]:
        """As `Names`, once the test says so."""
        return await self.found


def redirect(location: str | bytes, status: str = "302 Found") -> bytes:
    """A response that sends to another place."""
    if isinstance(location, str):
        location = location.encode()
    return ok(b"", status=status)[:-2] + b"Location: " + location + b"\r\n\r\n"


CLIENT = Cause("203.0.113.1")


class WellKnownTestCase(SynchronousTestCase):
    """What asks for delegations, over a memory reactor."""

    def setUp(self) -> None:
        """Make it."""
        self.make_well_known(Names())
        self.hosts.update(
            {
                "peer.test": ["192.0.2.1"],
                "www.test": ["192.0.2.2"],
                "inside.test": ["10.0.0.1"],
                "lost.test": LookupFailed("lost.test has no address"),
            }
        )

    def make_well_known(
        self, names: Names, aim: Callable[[Target], Target] = lambda target: target
    ) -> None:
        """Make it over other names, with a dialer that aims elsewhere."""
        self.net = Net()
        self.hosts = names.hosts
        refused = ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::1/128"]
        context = trusting(CA)
        self.recorded: list[Exchange] = []
        exchanges = Exchanges(self.net.clock)
        exchanges.record = self.recorded.append
        dialer = Dialer(
            self.net.reactor,
            names.addresses,
            AddressPolicy([AddressRange.parse(each) for each in refused], []),
            lambda _: context,
            exchanges,
            aim,
        )
        self.budgets = Budgets(self.net.clock, lambda _: False)
        self.well_known = WellKnown(dialer, self.budgets, self.net.clock)

    def ask(self, host: str = "peer.test") -> Deferred[ServerName]:
        """Ask for the name that a host delegates to."""
        return start(self.well_known.delegation(host, OURSELVES))

    def answer(self, *answers: bytes) -> Deferred[ServerName]:
        """Ask `peer.test`, and let each connection to it get one of the answers."""
        asked = self.ask()
        for each in answers:
            self.net.accept(GOOD).say(each)
        return asked

    def found(self, asked: Deferred[ServerName]) -> str:
        """The name that was delegated to."""
        name: ServerName = self.successResultOf(asked)
        assert self.net.dialled == []
        return str(name)

    def reason(self, asked: Deferred[ServerName]) -> str:
        """Why there is no delegation; nothing is tried any more."""
        reason = str(self.failureResultOf(asked, LookupFailed).value)
        assert self.net.dialled == []
        assert reason.isprintable()
        assert len(reason) < 2000
        return reason

    def assert_ended(self, wire: Wire) -> None:
        """See that a connection is over, without waiting for the peer."""
        assert wire.tcp.is_aborted
        wire.flush()
        assert wire.peer.is_gone


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
            (b"[" * 5000, "JSON nested"),
            (b"[]", "the body is not a JSON object"),
            (b'"b.test"', "the body is not a JSON object"),
            (b"null", "the body is not a JSON object"),
            (b"{}", "`m.server` is not a string"),
            (b'{"m.server":5}', "`m.server` is not a string"),
            (b'{"m.server":null}', "`m.server` is not a string"),
            (b'{"m.server":["b.test"]}', "`m.server` is not a string"),
            (b'{"M.Server":"b.test"}', "`m.server` is not a string"),
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
        assert self.server_name(self.net.accept(GOOD)) == b"peer.test"

    def server_name(self, wire: Wire) -> bytes | None:
        """What the peer was told in the handshake."""
        tls = cast("SSL.Connection", wire.peer.transport.getHandle())  # type: ignore[union-attr]
        return tls.get_servername()

    def test_redirected_request(self) -> None:
        """The host of a redirect is asked by its own name, port and path."""
        cases = [
            ("https://www.test/", "192.0.2.2", 443, b"www.test", b"www.test", b"/"),
            ("https://www.test", "192.0.2.2", 443, b"www.test", b"www.test", b"/"),
            ("https://www.test?a", "192.0.2.2", 443, b"www.test", b"www.test", b"/?a"),
            (
                "https://www.test:8443/a/b?c=d&e#f",
                "192.0.2.2",
                8443,
                b"www.test:8443",
                b"www.test",
                b"/a/b?c=d&e",
            ),
            (
                "//www.test/~a%20b;c",
                "192.0.2.2",
                443,
                b"www.test",
                b"www.test",
                b"/~a%20b;c",
            ),
            ("HTTPS://WWW.Test/A", "192.0.2.2", 443, b"WWW.Test", b"WWW.Test", b"/A"),
            ("https://192.0.2.3/", "192.0.2.3", 443, b"192.0.2.3", None, b"/"),
            (
                "https://[2001:DB8::3]:44/",
                "2001:db8::3",
                44,
                b"[2001:DB8::3]:44",
                None,
                b"/",
            ),
        ]
        for location, address, port, host, server_name, target in cases:
            with self.subTest(location):
                self.setUp()
                self.hosts["WWW.Test"] = ["192.0.2.2"]
                asked = self.answer(redirect(location))
                assert self.net.dialled == [(address, port)]
                wire = self.net.accept(NUMBERS if server_name is None else WWW)
                assert self.server_name(wire) == server_name
                head, *lines = wire.peer.received.split(b"\r\n")
                assert head == b"GET " + target + b" HTTP/1.1"
                assert b"Host: " + host in lines
                wire.say(DOCUMENT)
                assert self.found(asked) == "b.test:7"

    def test_relative_redirect(self) -> None:
        """A redirect may say nothing of the host that it stays at."""
        cases = [
            ("/", "/"),
            ("/a?b", "/a?b"),
            ("a", "/.well-known/matrix/a"),
            ("../a", "/.well-known/a"),
            ("../../../../a", "/a"),
            ("?a", f"{PATH}?a"),
        ]
        for location, target in cases:
            with self.subTest(location):
                self.setUp()
                asked = self.answer(redirect(location))
                assert self.net.dialled == [("192.0.2.1", 443)]
                wire = self.net.accept(GOOD)
                head = f"GET {target} HTTP/1.1\r\n".encode()
                assert wire.peer.received.startswith(head)
                wire.say(DOCUMENT)
                assert self.found(asked) == "b.test:7"

    def test_connections_are_ended(self) -> None:
        """Whatever came, nothing is left of a connection."""
        for said in (DOCUMENT, redirect("/a"), redirect("no"), ok(b""), b"?\r\n"):
            with self.subTest(said):
                self.setUp()
                self.ask().addErrback(lambda failure: failure.trap(LookupFailed))
                wire = self.net.accept(GOOD)
                wire.say(said)
                self.assert_ended(wire)


class RedirectTests(WellKnownTestCase):
    """Where a host may send us, and where not."""

    def test_statuses(self) -> None:
        """Each status that sends elsewhere is followed, for good or not."""
        for status in (301, 302, 303, 307, 308):
            self.setUp()
            asked = self.answer(redirect("/a", f"{status} Elsewhere"), DOCUMENT)
            assert self.found(asked) == "b.test:7"

    def test_first_location(self) -> None:
        """Of two places that a response names, the first is meant."""
        response = ok(b"", "Location: /a\r\nLocation: /b\r\n", status="302 Found")
        self.answer(response)
        received = self.net.accept(GOOD).peer.received
        assert received.startswith(b"GET /a ")

    def test_body_of_a_redirect(self) -> None:
        """The body of a redirect is no document, but has its limit all the same."""
        body = b'{"m.server":"c.test"}'
        response = ok(body, "Location: /a\r\n", status="302 Found")
        assert self.found(self.answer(response, DOCUMENT)) == "b.test:7"
        self.setUp()
        response = ok(b" " * 51201, "Location: /a\r\n", status="302 Found")
        assert self.reason(self.answer(response)) == "over 51200 bytes"

    def test_five_redirects(self) -> None:
        """Five redirects are followed, and no more."""
        chain = [redirect(f"/{number}") for number in range(6)]
        assert self.found(self.answer(*chain[:5], DOCUMENT)) == "b.test:7"
        self.setUp()
        assert self.reason(self.answer(*chain)) == "redirects more than 5 times"

    def test_circles(self) -> None:
        """A place that was seen before is not asked again."""
        first = f"https://peer.test{PATH}"
        cases = [
            ([PATH], first),
            ([first], first),
            (["#fragment"], first),
            (["/a", "/a"], "https://peer.test/a"),
            (["/a", "/b", PATH], first),
        ]
        for locations, to in cases:
            with self.subTest(locations):
                self.setUp()
                asked = self.answer(*map(redirect, locations))
                assert self.reason(asked) == f"redirects in a circle, to {to}"

    def test_no_location(self) -> None:
        """A redirect that says nothing of where to is not followed."""
        for response in (ok(b"", status="302 Found"), redirect("")):
            self.setUp()
            assert "redirects " in self.reason(self.answer(response))

    def test_places_that_are_not_followed(self) -> None:
        """Another scheme, a user's name or nonsense is not followed."""
        not_https = ", which is not https"
        not_url = ", which is not a URL"
        cases = [
            (b"http://www.test/", not_https),
            (b"http://peer.test/.well-known/matrix/server", not_https),
            (b"ftp://www.test/", not_https),
            (b"file://www.test/etc/passwd", not_https),
            (b"httpss://www.test/", not_https),
            (b"javascript:alert(1)", ""),
            (b"file:///etc/passwd", ""),
            (b"mailto:a@www.test", ""),
            (b"https://user@www.test/", ""),
            (b"https://user:password@www.test/", ""),
            (b"https://peer.test@www.test/", ""),
            (b"https://www.test:0/", ""),
            (b"https://www.test:65536/", ""),
            (b"https://www.test:/", ""),
            (b"https://www.test:x/", ""),
            (b"https://www_.test/", ""),
            (b"https://www.test./", ""),
            (b"https://www.test\\@a/", ""),
            (b"https://127.1/", ""),
            (b"https://2130706433/", ""),
            (b"https://0x7f.0.0.1/", ""),
            (b"https://0177.0.0.1/", ""),
            (b"https://[::1/", ""),
            (b"https://[::1]a/", ""),
            (b"https://[fe80::1%25eth0]/", ""),
            (b"https://[v1.a]/", ""),
            (b"https://www.t\xc3\xa9st/", ""),
            (b"https://www.test\xff/", ""),
            (b"\xff\xfe\xfd", not_url),
            (b"/caf\xc3\xa9", not_url),
            (b"/a b", not_url),
            (b"/a\x01b", not_url),
            (b"/a\x1b[31m", not_url),
            (b"/a\x7f", not_url),
            (b"/\xa0", not_url),
            (b"/?\xff", not_url),
            (b"https://www.test/" + b" a" * 500, not_url),
            (b"https://" + b"a" * 5000, "..."),
        ]
        for location, why in cases:
            with self.subTest(location[:50]):
                self.setUp()
                reason = self.reason(self.answer(redirect(location)))
                assert reason.startswith("redirects to ")
                assert reason.endswith(why or "'")

    def test_longest_place(self) -> None:
        """A place of a thousand bytes on its host is followed."""
        target = "/" + "a" * 999
        asked = self.answer(redirect(target), ok(b"", status="404 Not Found"))
        assert self.reason(asked) == f"https://peer.test{target}: status 404"

    def test_place_that_is_too_long(self) -> None:
        """A longer place is not followed: reasons are told, and kept."""
        reason = self.reason(self.answer(redirect("/" + "a" * 1000)))
        assert ", which is not a URL" in reason

    def test_refused_address(self) -> None:
        """No redirect leads to an address that is not connected to."""
        cases = [
            ("https://169.254.169.254/latest/meta-data/", "169.254.0.0/16"),
            ("https://127.0.0.1:8448/", "127.0.0.0/8"),
            ("https://[::1]/", "::1/128"),
            ("https://[::ffff:127.0.0.1]/", "127.0.0.0/8"),
            ("https://[::ffff:a9fe:a9fe]/", "169.254.0.0/16"),
            ("https://inside.test/", "10.0.0.0/8"),
        ]
        for location, refused in cases:
            with self.subTest(location):
                self.setUp()
                reason = self.reason(self.answer(redirect(location)))
                assert reason.startswith(f"{location}: ")
                assert f" is in the refused range {refused}" in reason

    def test_reasons_name_the_place(self) -> None:
        """What went wrong elsewhere is told with where that was."""
        where = "https://www.test/a"
        away = redirect(where)
        assert (
            self.reason(self.answer(redirect("https://lost.test/")))
            == "https://lost.test/: lost.test has no address"
        )
        self.setUp()
        asked = self.answer(away)
        self.net.refuse()
        assert (
            self.reason(asked)
            == f"{where}: cannot connect: Connection was refused by other side."
        )
        self.setUp()
        asked = self.answer(away)
        self.net.accept(WWW).say(ok(b"", status="404 Not Found"))
        assert self.reason(asked) == f"{where}: status 404"
        self.setUp()
        asked = self.answer(away)
        self.net.accept(WWW).hang_up()
        assert self.reason(asked) == f"{where}: the peer ended the connection"


class ReachTests(WellKnownTestCase):
    """Whose document it is."""

    def test_certificates(self) -> None:
        """A host without a trusted certificate for it is asked nothing."""
        failed = "192.0.2.1: TLS handshake failed: the certificate is "
        cases = [
            (SELF_SIGNED, failed + "self-signed and not trusted"),
            (WWW, failed + "not for peer.test but for 'www.test'"),
            (issue_for("peer.test", issue_for("other", None)), None),
            (issue("peer.test", None, issuer=CA), None),
            (
                issue("a", [x509.DNSName("peer.test")], issuer=CA, days=(-2, -1)),
                "192.0.2.1: TLS handshake failed: the certificate has expired",
            ),
        ]
        for issued, reason in cases:
            with self.subTest(reason):
                self.setUp()
                asked = self.ask()
                wire = self.net.accept(issued)
                assert wire.peer.is_gone
                assert wire.peer.received == b""
                said = self.reason(asked)
                assert "TLS handshake failed" in said
                assert said == (reason or said)

    def test_certificate_that_the_handshake_let_pass(self) -> None:
        """It is looked at all the same, before anything is asked."""
        names = Names()
        names.hosts["peer.test"] = ["192.0.2.1"]
        self.make_well_known(names, lambda aim: replace(aim, must_be_trusted=False))
        asked = self.ask()
        wire = self.net.accept(SELF_SIGNED)
        assert wire.peer.received == b""
        said = "the certificate is self-signed and not trusted"
        assert self.reason(asked) == said
        self.assert_ended(wire)

    def test_certificate_of_the_redirected_host(self) -> None:
        """The host of a redirect needs a certificate of its own name."""
        for issued in (GOOD, SELF_SIGNED, issue_for("www.test")):
            self.setUp()
            asked = self.answer(redirect("https://www.test/a"))
            wire = self.net.accept(issued)
            assert wire.peer.is_gone
            assert wire.peer.received == b""
            assert (
                "https://www.test/a: 192.0.2.2: TLS handshake failed: "
                in self.reason(asked)
            )

    def test_certificate_of_a_redirected_address(self) -> None:
        """A certificate for a name is none for the address behind it."""
        asked = self.answer(redirect("https://192.0.2.1/"))
        assert self.net.accept(GOOD).peer.received == b""
        assert "is not for 192.0.2.1 but for 'peer.test'" in self.reason(asked)

    def test_refused_address(self) -> None:
        """An address that is not connected to is not connected to."""
        assert (
            self.reason(self.ask("inside.test"))
            == "10.0.0.1 is in the refused range 10.0.0.0/8; to allow it, set "
            'allow = ["10.0.0.1"] in [network]'
        )

    def test_no_address(self) -> None:
        """A host that has no address has no document."""
        assert self.reason(self.ask("lost.test")) == "lost.test has no address"

    def test_nobody_listens(self) -> None:
        """A host without a website has no document."""
        asked = self.ask()
        self.net.refuse()
        assert (
            self.reason(asked)
            == "cannot connect: Connection was refused by other side."
        )


class TimeTests(WellKnownTestCase):
    """Ten seconds for all of it."""

    def drip(self, wire: Wire, data: bytes, seconds: int) -> None:
        """Let the peer say one byte a second."""
        for byte in data[:seconds]:
            wire.say(bytes([byte]))
            self.net.clock.advance(1)

    def test_nobody_answers(self) -> None:
        """A host that does not answer is not waited for any longer."""
        asked = self.ask()
        [connector] = self.net.clock.connectors
        self.net.clock.advance(9.9)
        self.assertNoResult(asked)
        self.net.clock.tcpClients.clear()
        self.net.clock.advance(0.1)
        assert self.reason(asked) == NOT_IN_TIME
        assert connector.stoppedConnecting

    def test_silent_name_server(self) -> None:
        """The time in which the host's address is looked up counts."""
        names = LateNames()
        self.make_well_known(names)
        asked = self.ask()
        self.net.clock.advance(9.9)
        self.assertNoResult(asked)
        self.net.clock.advance(0.1)
        assert self.reason(asked) == NOT_IN_TIME
        assert self.net.dialled == []

    def test_silent_handshake(self) -> None:
        """The handshake counts."""
        asked = self.ask()
        self.net.clock.advance(5)
        wire = self.net.accept(GOOD, is_silent=True)
        self.net.clock.advance(5)
        assert self.reason(asked) == NOT_IN_TIME
        assert wire.tcp.disconnecting

    def test_drip(self) -> None:
        """A byte a second is no answer, be it of the head or of the body."""
        head, _, body = ok(b" " * 100).partition(b"\r\n\r\n")
        for first, later in ((b"", head), (head + b"\r\n\r\n", body)):
            self.setUp()
            asked = self.ask()
            wire = self.net.accept(GOOD)
            wire.say(first)
            self.drip(wire, later, 9)
            self.assertNoResult(asked)
            self.drip(wire, later, 1)
            assert self.reason(asked) == NOT_IN_TIME
            self.assert_ended(wire)

    def test_drip_over_redirects(self) -> None:
        """The time is for all redirects together."""
        asked = self.ask()
        for number in range(3):
            wire = self.net.accept(GOOD)
            self.net.clock.advance(3)
            wire.say(redirect(f"/{number}"))
        wire = self.net.accept(GOOD)
        self.net.clock.advance(0.9)
        self.assertNoResult(asked)
        self.net.clock.advance(0.1)
        assert self.reason(asked) == NOT_IN_TIME
        self.assert_ended(wire)

    def test_in_time(self) -> None:
        """An answer after nearly ten seconds is one."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        self.net.clock.advance(9.9)
        wire.say(DOCUMENT)
        assert self.found(asked) == "b.test:7"
        self.net.clock.advance(60)
        assert self.net.clock.getDelayedCalls() == []


class SharingTests(WellKnownTestCase):
    """Many look-ups."""

    def test_who_asks_at_once(self) -> None:
        """Ten look-ups of the same host at once cost one connection."""
        asked = [self.ask(host) for host in ("peer.test", "PEER.test") * 5]
        [_] = self.net.dialled
        self.net.accept(GOOD).say(DOCUMENT)
        assert {self.found(each) for each in asked} == {"b.test:7"}

    def test_failure_is_shared(self) -> None:
        """Each look-up fails with an error of its own."""
        asked = [self.ask() for _ in range(10)]
        self.net.accept(GOOD).say(ok(b"", status="404 Not Found"))
        asked.append(self.ask())
        failures = [self.failureResultOf(each, LookupFailed) for each in asked]
        assert {str(each.value) for each in failures} == {"status 404"}
        # An error that is raised again and again grows a traceback without end.
        assert len({id(each.value) for each in failures}) == 11

    def ask_many(self, number: int) -> list[Deferred[ServerName]]:
        """Ask so many hosts at once."""
        hosts = [f"h{each}.test" for each in range(number)]
        self.hosts.update({host: ["192.0.2.1"] for host in hosts})
        return [self.ask(host) for host in hosts]

    def test_a_new_client_is_not_kept_waiting(self) -> None:
        """A document that gave way to a newcomer's has not failed."""
        hosts = [f"h{number}.test" for number in range(100)]
        self.hosts.update({host: ["192.0.2.1"] for host in [*hosts, "a.test"]})
        asked = [
            start(self.well_known.delegation(host, Cause("192.0.2.1")))
            for host in hosts
        ]
        assert len(self.net.dialled) == 100
        new = start(self.well_known.delegation("a.test", Cause("192.0.2.2")))
        failure = self.failureResultOf(asked[0], OverBudget)
        assert "with smaller shares" in str(failure.value)
        assert not self.well_known.answers.is_kept("h0.test")
        self.assertNoResult(new)
        again = start(self.well_known.delegation("h0.test", Cause("192.0.2.3")))
        self.assertNoResult(again)
        self.failureResultOf(asked[1], OverBudget)

    def test_time_begins_with_the_turn(self) -> None:
        """A host that had to wait for its turn has its whole time."""
        asked = self.ask_many(101)
        self.net.clock.tcpClients.clear()
        self.net.clock.advance(10)
        for each in asked[:100]:
            failure = self.failureResultOf(each, LookupFailed)
            assert str(failure.value) == NOT_IN_TIME
        assert len(self.net.dialled) == 1
        self.net.clock.advance(9.9)
        self.net.accept(issue_for("h100.test", CA)).say(DOCUMENT)
        assert self.found(asked[100]) == "b.test:7"


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


NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT

DAY = 86400.0

# What the headers say, and for how many seconds a document with them is kept.
LIFETIMES: list[tuple[list[tuple[str, str]], float]] = [
    ([], DAY),
    ([("Cache-Control", "max-age=3600")], 3600),
    ([("Cache-Control", "Max-Age=3600")], 3600),
    ([("Cache-Control", 'max-age="3600"')], 3600),
    ([("Cache-Control", "public, max-age=3600, must-revalidate")], 3600),
    ([("Cache-Control", "  max-age=3600  ,x")], 3600),
    ([("Cache-Control", "public"), ("Cache-Control", "max-age=3600")], 3600),
    ([("Cache-Control", "max-age=3600, max-age=7200")], 3600),
    ([("Cache-Control", "max-age=3600"), ("Age", "600")], 3000),
    ([("Cache-Control", "max-age=3600"), ("Age", "9" * 5000)], 300),
    ([("Cache-Control", "max-age=3600"), ("Age", "soon")], 3600),
    ([("Cache-Control", "max-age=300")], 300),
    ([("Cache-Control", "max-age=299")], 300),
    ([("Cache-Control", "max-age=0")], 300),
    ([("Cache-Control", "max-age=172800")], 2 * DAY),
    ([("Cache-Control", "max-age=172801")], 2 * DAY),
    ([("Cache-Control", "max-age=" + "9" * 18)], 2 * DAY),
    ([("Cache-Control", "max-age=" + "9" * 5000)], 2 * DAY),
    ([("Cache-Control", "no-store")], 300),
    ([("Cache-Control", "No-Store")], 300),
    ([("Cache-Control", "no-cache")], 300),
    ([("Cache-Control", "max-age=3600, no-store")], 300),
    ([("Cache-Control", "max-age=3600"), ("Cache-Control", "no-cache")], 300),
    # What is not understood is as if it were not there.
    ([("Cache-Control", "")], DAY),
    ([("Cache-Control", "max-age")], DAY),
    ([("Cache-Control", "max-age=")], DAY),
    ([("Cache-Control", "max-age=-1")], DAY),
    ([("Cache-Control", "max-age=1.5")], DAY),
    ([("Cache-Control", "max-age=x")], DAY),
    ([("Cache-Control", "max-age=\u0663")], DAY),
    ([("Cache-Control", "s-maxage=3600")], DAY),
    ([("Cache-Control", "x-max-age=3600")], DAY),
    ([("Cache-Control", "private, \xff\xfe")], DAY),
    # Fri, 15 Jan 2027 08:00:00 GMT is now.
    ([("Expires", "Fri, 15 Jan 2027 09:00:00 GMT")], 3600),
    ([("Expires", "Friday, 15-Jan-27 09:00:00 GMT")], 3600),
    ([("Expires", "Fri Jan 15 09:00:00 2027")], 3600),
    # "A recipient [...] MUST consider it to be in GMT", whatever it says.
    ([("Expires", "Fri, 15 Jan 2027 09:00:00 -0000")], 3600),
    ([("Expires", "Fri, 15 Jan 2027 09:00:00 +0200")], 3600),
    ([("Expires", "Fri, 15 Jan 2027 08:04:00 GMT")], 300),
    ([("Expires", "Fri, 15 Jan 2027 07:00:00 GMT")], 300),
    ([("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")], 300),
    ([("Expires", "Mon, 18 Jan 2027 08:00:00 GMT")], 2 * DAY),
    ([("Expires", "Fri, 31 Dec 9999 23:59:59 GMT")], 2 * DAY),
    ([("Expires", "0")], 300),
    ([("Expires", "-1")], 300),
    ([("Expires", "")], 300),
    ([("Expires", "soon")], 300),
    ([("Expires", "Fri, 45 Jan 2027 09:00:00 GMT")], 300),
    ([("Expires", "Fri, 15 Jan 99999999999999999999 09:00:00 GMT")], 300),
    ([("Expires", "Fri, 15 Jan 2027 99:00:00 GMT")], 300),
    ([("Expires", "caf\xe9 \xff")], 300),
    (
        [
            ("Expires", "Fri, 15 Jan 2027 09:00:00 GMT"),
            ("Expires", "Fri, 15 Jan 2027 10:00:00 GMT"),
        ],
        3600,
    ),
    # `Cache-Control` goes first, if it says anything about time.
    (
        [
            ("Expires", "Fri, 15 Jan 2027 09:00:00 GMT"),
            ("Cache-Control", "max-age=7200"),
        ],
        7200,
    ),
    (
        [("Expires", "Fri, 15 Jan 2027 09:00:00 GMT"), ("Cache-Control", "no-store")],
        300,
    ),
    ([("Expires", "Fri, 15 Jan 2027 09:00:00 GMT"), ("Cache-Control", "public")], 3600),
]


@pytest.mark.parametrize(("lines", "seconds"), LIFETIMES)
def test_lifetime(lines: list[tuple[str, str]], seconds: float) -> None:
    """A document is kept as its headers say: five minutes to two days."""
    headers = Headers()
    for name, value in lines:
        headers.addRawHeader(name.encode(), value.encode("latin-1", "replace"))
    assert within_bounds(asked_seconds(headers, NOW)) == seconds


class AddressTests(WellKnownTestCase):
    """A host with two addresses."""

    def setUp(self) -> None:
        """Have them."""
        super().setUp()
        self.hosts["peer.test"] = ["192.0.2.1", "192.0.2.2"]

    def ask_for(self, cause: Cause) -> Deferred[ServerName]:
        """Ask for a client."""
        return start(self.well_known.delegation("peer.test", cause))

    def test_second_address(self) -> None:
        """Where the first address gives no answer, the second one is asked."""

        def leave(*, is_silent: bool) -> None:
            self.net.accept(GOOD, is_silent=is_silent)
            self.net.clock.advance(4)

        cases: dict[str, Callable[[], object]] = {
            "refuses": lambda: self.net.refuse(None),
            "another server": lambda: self.net.accept(issue_for("other.test", CA)),
            "hangs up": lambda: self.net.accept(GOOD).hang_up(),
            "no HTTP": lambda: self.net.accept(GOOD).say(b"220 smtp\r\n\r\n"),
            "no handshake": lambda: leave(is_silent=True),
            "silent": lambda: leave(is_silent=False),
        }
        for case, happen in cases.items():
            with self.subTest(case):
                self.setUp()
                asked = self.ask()
                happen()
                assert self.net.dialled == [("192.0.2.2", 443)]
                self.net.accept(GOOD).say(DOCUMENT)
                assert self.found(asked) == "b.test:7"

    def test_both_fail(self) -> None:
        """Where both fail, the last reason is told."""
        asked = self.ask()
        self.net.accept(GOOD).hang_up()
        self.net.refuse()
        assert "cannot connect" in self.reason(asked)

    def test_an_answer_is_an_answer(self) -> None:
        """Where the first address answers that there is no document, that holds."""
        asked = self.ask()
        self.net.accept(GOOD).say(ok(b"{}", status="404 Not Found"))
        assert self.reason(asked) == "status 404"

    def test_two_connections_for_a_client(self) -> None:
        """For a client two addresses are tried; for ourselves all, at once after it."""
        self.hosts["peer.test"] = [f"192.0.2.{number}" for number in range(1, 5)]
        asked = self.ask_for(CLIENT)
        self.net.accept(GOOD).hang_up()
        self.net.accept(GOOD).hang_up()
        self.reason(asked)
        again = self.ask_for(CLIENT)
        self.reason(again)  # kept
        ours = self.ask()
        for _ in range(3):
            self.net.accept(GOOD).hang_up()
        assert self.net.dialled == [("192.0.2.4", 443)]
        self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
        assert self.found(ours) == "b.test"
        assert self.found(self.ask_for(CLIENT)) == "b.test"

    def test_we_wait_for_what_a_client_causes(self) -> None:
        """A look-up under way for a client serves us, unless it fails."""
        for is_good in (True, False):
            self.setUp()
            theirs, ours = self.ask_for(CLIENT), self.ask()
            assert len(self.net.dialled) == 1
            if not is_good:
                self.net.accept(GOOD).hang_up()
                self.net.accept(GOOD).hang_up()
                self.failureResultOf(theirs, LookupFailed)
                self.assertNoResult(ours)
                assert self.net.dialled == [("192.0.2.1", 443)]
            self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
            assert self.found(ours) == "b.test"

    def test_a_bound_on_clients_does_not_stop_us(self) -> None:
        """A look-up under way for a client that a bound ends goes on for us."""
        theirs, ours = self.ask_for(CLIENT), self.ask()
        for _ in range(9):
            self.budgets.step(CLIENT, "peer.test").take("192.0.2.1")
        self.net.accept(GOOD).hang_up()
        self.net.clock.pump([0.3] * 3)
        self.failureResultOf(theirs, OverBudget)
        self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
        assert str(self.successResultOf(ours)) == "b.test"

    def test_an_answer_to_a_client_is_ours_too(self) -> None:
        """That there is no document is true for every cause of a look-up."""
        asked = self.ask_for(CLIENT)
        self.net.accept(GOOD).say(ok(b"{}", status="404 Not Found"))
        self.reason(asked)
        assert self.reason(self.ask()) == "status 404"

    def test_over_budget(self) -> None:
        """What a bound of ours forbids is no answer, and not remembered."""
        for _ in range(10):
            self.budgets.step(CLIENT, "peer.test").take("192.0.2.1")
        for _ in range(2):
            asked = self.ask_for(CLIENT)
            self.net.clock.pump([0.3] * 3)  # in which it looks for other addresses
            self.failureResultOf(asked, OverBudget)
        assert self.net.dialled == []
        self.net.clock.advance(60)
        asked = self.ask_for(CLIENT)
        self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
        assert self.found(asked) == "b.test"

    def test_redirects_count(self) -> None:
        """Where a website redirects, all counts as the name that was asked for."""
        self.hosts["peer.test"] = self.hosts["www.test"] = ["192.0.2.1"]
        asked = self.ask_for(CLIENT)
        self.net.accept(GOOD).say(redirect("https://peer.test/2"))
        self.net.accept(GOOD).say(redirect("https://peer.test/3"))
        self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
        self.found(asked)
        for _ in range(7):
            self.budgets.step(CLIENT, "peer.test").take("192.0.2.1")
        with self.assertRaises(OverBudget):
            self.budgets.step(CLIENT, "peer.test").take("192.0.2.1")

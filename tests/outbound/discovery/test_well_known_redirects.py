"""Where a website may redirect the question for its document, and where not."""

from ipaddress import ip_address

from cryptography import x509

from homeserver.outbound.discovery.well_known import PATH
from tests.support.certificates import issue, issue_for
from tests.support.memory_tls_servers import ok
from tests.support.outbound_stack import CA, GOOD, SELF_SIGNED
from tests.support.well_known_websites import (
    DOCUMENT,
    WWW,
    WellKnownTestCase,
    indicated_name,
    redirect,
)

NUMBERS = issue(
    "numbers",
    [x509.IPAddress(ip_address(each)) for each in ("192.0.2.3", "2001:db8::3")],
    issuer=CA,
)
"""The certificate of addresses that are redirected to."""


class RedirectedRequestTests(WellKnownTestCase):
    """What is sent to the place of a redirect."""

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
                assert indicated_name(wire) == server_name
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


class RedirectedCertificateTests(WellKnownTestCase):
    """Whose certificate the place of a redirect needs."""

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

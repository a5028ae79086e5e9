"""Websites that do their worst when they are asked for a well-known document.

Whatever they do, it is told in a sentence, and the SRV records lead the way.
"""

from collections.abc import Callable, Sequence

import pytest

from homeserver.net.addresses import REFUSED_RANGES, AddressPolicy, AddressRange
from tests.support.certificates import Issued, authority, issue_for
from tests.support.discovery_cases import FED_A, A
from tests.support.name_servers import NameServer, serving
from tests.support.real_discovery import HURRIED, certify, discovering
from tests.support.recording_peers import http
from tests.support.tls_servers import (
    WELL_KNOWN,
    Answer,
    Conversation,
    TlsServer,
    delegation,
    drip,
    flood,
    garbage,
    hang_up,
    listening,
    redirect,
    silence,
)
from tests.support.waiting import reactor

# The websites and what is inside are told apart by their addresses.
ZONE = [
    "a.test AAAA ::1",
    "b.test AAAA ::1",
    "inner.test A 127.0.0.1",
    "_matrix-fed._tcp.a.test SRV 0 0 7 s.test",
]
POLICY = AddressPolicy(REFUSED_RANGES, [AddressRange.parse("::1/128")])

LOCATION = f"https://a.test{WELL_KNOWN}"
OK = b"HTTP/1.1 200 OK\r\n"
KIB = 1024


def find_fault(
    website: TlsServer, *others: TlsServer, hurry: bool = False
) -> tuple[str, list[Sequence[str]]]:
    """What is said of the document of `a.test`, and which addresses were dialled.

    The resolution goes on to the SRV records, and does not ask the website twice.
    """
    website.host = "::1"
    with (
        serving(NameServer(*ZONE)) as server,
        listening(website, *others),
        discovering(
            server,
            {443: website.port},
            policy=POLICY,
            clock=HURRIED if hurry else reactor,
        ) as reach,
    ):
        (step, *rest), routes = reach.outcome("a.test")
        asked = len(website.conversations)
        assert reach.outcome("a.test")[1] == routes == ["s.test:7"]
    assert len(website.conversations) == asked
    assert rest == [FED_A + "0 0 7 s.test"]
    start = A + "no delegation: "
    assert step.startswith(start)
    return step.removeprefix(start), [each for each, _ in reach.dialer.dialled]


WRONG: dict[str, tuple[Answer, str]] = {
    "404": (http(b"{}", "404 Not Found"), "status 404"),
    "not JSON": (http(b"<html>"), "not JSON: "),
    "an array": (http(b"[]"), "the body is not a JSON object"),
    "another object": (http(b"{}"), "`m.server` is not a string"),
    "a number": (http(b'{"m.server":5}'), "`m.server` is not a string"),
    "not a name": (delegation("b_c"), "not a server name: each label of 'b_c' must"),
    "not HTTP": (garbage, "220 a.test ESMTP"),
    "hangs up": (hang_up, "the peer ended the connection"),
    "a circle": (redirect(LOCATION), f"redirects in a circle, to {LOCATION}"),
    "to nowhere": (
        http(b"", "302 Found"),
        "redirects without a Location header",
    ),
    "to no URL": (redirect("https://[/"), "redirects to 'https://[/'"),
    "to http": (
        redirect("http://a.test/"),
        "redirects to 'http://a.test/', which is not https",
    ),
    "to link-local": (
        redirect("https://169.254.169.254/"),
        'refused range 169.254.0.0/16; to allow it, set allow = ["169.254.169.254"]',
    ),
    "to nobody": (
        redirect("https://c.test/x"),
        "https://c.test/x: c.test has no address (A or AAAA record)",
    ),
}


@pytest.mark.parametrize(("answer", "said"), WRONG.values(), ids=WRONG)
def test_wrong_document(answer: Answer, said: str) -> None:
    """A document that is not what it should be is passed over, and told."""
    told, dialled = find_fault(TlsServer(certify("a.test"), otherwise=answer))
    assert said in told
    assert dialled == [["::1"]]


@pytest.mark.parametrize("host", ["127.0.0.1", "inner.test"])
def test_redirect_does_not_lead_inside(host: str) -> None:
    """A redirect to a refused address is not followed, also by a name."""
    inner = TlsServer(certify(host))

    def answer(conversation: Conversation) -> None:
        redirect(f"https://{host}:{inner.port}/x")(conversation)

    told, dialled = find_fault(TlsServer(certify("a.test"), otherwise=answer), inner)
    assert told.startswith(
        f"https://{host}:{inner.port}/x: 127.0.0.1 is in the refused"
    )
    assert dialled == [["::1"]]
    assert inner.conversations == []


@pytest.mark.parametrize(
    ("issued", "said"),
    [
        (lambda: issue_for("a.test", authority("Another CA")), "authority that is not"),
        (lambda: issue_for("a.test"), "is self-signed and not trusted"),
        (lambda: certify("b.test"), "the certificate is not for a.test but for"),
    ],
    ids=["another authority", "self-signed", "another name"],
)
def test_untrusted_website_is_asked_nothing(
    issued: Callable[[], Issued], said: str
) -> None:
    """A website whose certificate proves nothing gets no byte of a request."""
    website = TlsServer(issued(), otherwise=delegation("evil.test"))
    told, _ = find_fault(website)
    assert said in told
    assert website.received == b""


def test_untrusted_website_is_not_redirected_to() -> None:
    """Each hop of a chain of redirects needs a certificate of its own."""
    other = TlsServer(certify("a.test"), otherwise=delegation("evil.test"), host="::1")

    def answer(conversation: Conversation) -> None:
        redirect(f"https://b.test:{other.port}/")(conversation)

    told, _ = find_fault(TlsServer(certify("a.test"), otherwise=answer), other)
    assert "TLS handshake failed: the certificate is not for b.test but for" in told
    assert other.received == b""


@pytest.mark.parametrize(
    ("head", "piece", "limit"),
    [
        (OK + b"Content-Length: 10000000\r\n\r\n", b"a" * KIB, 50 * KIB),
        (OK + b"\r\n", b"a" * KIB, 50 * KIB),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"a" * KIB, 50 * KIB),
        # With what makes up chunks and headers, 64 KiB more.
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 99, 114 * KIB),
        (OK, b"X: " + b"a" * KIB + b"\r\n", 114 * KIB),
        (OK + b"X: ", b"a" * KIB, 114 * KIB),
    ],
    ids=["10 MB", "no length", "a redirect", "chunks", "headers", "one header"],
)
def test_flood_is_cut_off(head: bytes, piece: bytes, limit: int) -> None:
    """Of what does not end, no more is taken than a document may have."""
    website = TlsServer(
        certify("a.test"), otherwise=flood(head, piece, length=10_000_000)
    )
    told, _ = find_fault(website)
    assert told == f"over {limit} bytes"
    [conversation] = website.conversations
    assert conversation.is_over
    # The rest was on its way, in buffers of both sides and of the system.
    assert conversation.sent < limit + 512 * KIB


@pytest.mark.parametrize("answer", [silence, drip], ids=["silence", "a byte a second"])
def test_slowness_ends(answer: Answer) -> None:
    """What takes long ends after ten seconds, also when a byte comes each second."""
    website = TlsServer(certify("a.test"), otherwise=answer)
    before = HURRIED.seconds()
    told, _ = find_fault(website, hurry=True)
    assert 10 <= HURRIED.seconds() - before < 60
    assert told == "no complete answer within 10 seconds"
    [conversation] = website.conversations
    assert conversation.is_over


def test_redirects_are_followed() -> None:
    """Up to five redirects are followed, to other hosts, ports and targets."""
    website = TlsServer(certify("a.test", "b.test"), host="::1")
    with serving(NameServer(*ZONE)) as server, listening(website):
        other = f"b.test:{website.port}"
        website.pages = {
            f"a.test{WELL_KNOWN}": redirect("/1"),
            "a.test/1": redirect("2?x=y"),
            "a.test/2?x=y": redirect(f"https://{other}/3"),
            f"{other}/3": redirect("//a.test/4"),
            "a.test/4": redirect("/5"),
            "a.test/5": delegation("b.test:7"),
        }
        ports = {443: website.port}
        with discovering(server, ports, policy=POLICY) as reach:
            assert reach.outcome("a.test")[1] == ["b.test:7"]
        website.pages["a.test/5"] = redirect("/6")
        with discovering(server, ports, policy=POLICY) as reach:
            (step, *_), routes = reach.outcome("a.test")
    assert step == A + "no delegation: redirects more than 5 times"
    assert routes == ["s.test:7"]
    names = ["a.test", "a.test", "a.test", "b.test", "a.test", "a.test"]
    assert website.server_names == names * 2

"""The page of a lab in a real browser: what a person does, and what peers do."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.testing import Lab, Server
from tests.support.browser_tab import Tab
from tests.support.chromium import PROGRAM, Browser
from tests.support.contrast import CONTRAST
from tests.support.eventually import HANGING_SECONDS, eventually
from tests.support.trusting_client import TRUSTING

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="chromium is not installed (Debian: apt install chromium)"
)

SEND = "/_matrix/federation/v1/send/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests."""
    with Browser() as running:
        yield running


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab of its own for each test."""
    with Lab() as running:
        yield running


@pytest.fixture
def tab(browser: Browser, lab: Lab) -> Iterator[Tab]:
    """The page of the lab, opened as the lab prints it; nothing complained at last."""
    opened = browser.open(f"{lab.control}/#token={lab.link.token}")
    opened.wait_for_text("#status", "live")
    yield opened
    assert opened.complaints == []
    outside = [each for each in opened.requested if not each.startswith(lab.control)]
    assert [each for each in outside if not each.startswith(("blob:", "data:"))] == []
    opened.call("Page.close")


def refuse(ours: Server, theirs: Server) -> None:
    """A request whose signature is over the decoded target."""
    answer = ours.request(
        theirs.name,
        f"{SEND}t%211",
        method="PUT",
        content={"origin": ours.name, "origin_server_ts": 1, "pdus": []},
        sign={"uri": f"{SEND}t!1"},
    )
    assert answer.status == 401


def test_a_refused_request_and_a_retry(tab: Tab, lab: Lab, tmp_path: Path) -> None:
    """It shows a hint, adds a 503 rule, sees the retry, and saves a HAR file."""
    one, two = lab.servers(2)
    refuse(one, two)
    tab.click(".row .state", "bad_signature")
    tab.wait_for_text(".detail .hint", "sign `uri` with the percent-escapes")
    signed = tab.wait_for(
        """[...document.querySelectorAll(".detail table.diff")].at(-1)?.innerText"""
    )
    assert f'\N{MINUS SIGN}   "uri": "{SEND}t!1"' in signed
    assert f'+   "uri": "{SEND}t%211"' in signed
    tab.press("Escape")
    tab.click(".detail button", "Close")

    tab.click("nav a", "Servers")
    tab.click(".list a", two.name)
    tab.wait_for_text(".panel h2", two.name)
    tab.click("button", "503 to a PUT, once")
    tab.wait_for_text(".panel", '{"http.status":503}')
    sent = one.send(two.name, edus=[{"edu_type": "m.test", "content": {}}])
    assert sent.state == "delivered"
    tab.click("nav a", "Time line")
    tab.click(".row.wrong .state", "503")
    tab.wait_for_text(".detail .bad", "503")
    transaction = tab.evaluate(
        "document.querySelector('.detail h2').innerText.match(/send\\/(\\S+)/)[1]"
    )
    tab.click("[type=search]")
    tab.write(transaction)
    tab.wait_for(
        """(() => {
          const rows = [...document.querySelectorAll(".row:not([hidden])")];
          const states = rows.map((row) => row.querySelector(".state").innerText);
          return states.filter((each) => each.includes("503")).length >= 1
            && states.filter((each) => each.includes("✓ 200")).length >= 1;
        })()"""
    )

    tab.call_browser(
        "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path)
    )
    tab.click("button", "HAR")
    file = tmp_path / "exchanges.har"
    eventually(file.exists)
    entries = json.loads(file.read_text())["log"]["entries"]
    statuses = [entry["response"]["status"] for entry in entries]
    assert {401, 503, 200} <= set(statuses)


def test_the_token_is_asked_for_once(browser: Browser, lab: Lab) -> None:
    """Without a token the page asks; a wrong one is refused, and no address has it."""
    tab = browser.open(lab.control)
    tab.wait_for_text(".gate", "The token of the control API")
    tab.write("wrong")
    tab.press("Enter")
    tab.wait_for_text(".gate .problem", "this is not the token")
    tab.write(lab.link.token)
    tab.press("Enter")
    tab.wait_for_text("#status", "live")
    tab.go(f"{lab.control}/#/servers")
    tab.call("Page.reload")
    tab.wait_for_text("nav a[aria-current]", "Servers")
    assert lab.link.token not in tab.evaluate("location.href")
    assert not any(lab.link.token in address for address in tab.requested)
    # The browser itself notes the answer to the wrong token.
    assert all("401" in each for each in tab.complaints)
    tab.call("Page.close")


MARKUP = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
BIDI = "abc\u202egpj.exe\u2066x\u2069"
HOSTILE = f"{MARKUP}{BIDI}\u200b\x00\x1b[31m"


def raw(server: Server, lines: bytes) -> bytes:
    """The answer to bytes that no client of HTTP would send."""
    host, _, port = server.listen.rpartition(":")
    with (
        socket.create_connection((host, int(port)), HANGING_SECONDS) as plain,
        TRUSTING.wrap_socket(plain, server_hostname=server.name) as secure,
    ):
        secure.sendall(lines)
        found = b""
        while piece := secure.recv(65536):
            found += piece
    return found


def test_the_text_of_a_peer_does_nothing(tab: Tab, lab: Lab) -> None:
    """Markup, marks of direction, NUL and a line of a megabyte are shown as text."""
    server = lab.server()
    edu = {"edu_type": HOSTILE, "content": {HOSTILE: HOSTILE}}
    other = lab.server()
    other.send(server.name, edus=[edu])
    body = json.dumps({"x": HOSTILE + "y" * 1_000_000}).encode()
    path = f"/_matrix/{MARKUP}".replace(" ", "%20").encode()
    raw(
        server,
        b"PUT %s HTTP/1.1\r\nHost: %s\r\nX-Odd: %s\r\nContent-Length: %d\r\n"
        b"Authorization: X-Matrix origin=%s,key=%s,sig=x\r\nConnection: close\r\n\r\n%s"
        % (path, server.name.encode(), BIDI.encode(), len(body), path, path, body),
    )
    other.request(
        server.name,
        f"{SEND}big",
        method="PUT",
        content={"origin": other.name, "pdus": [], "x": "z" * 1_000_000},
    )
    tab.wait_for_text(".rows", "<script>")
    lab.quiet()
    tab.wait_for(f"document.body.innerText.includes('{len(lab.exchanges())} of ')")
    exchanges = tab.evaluate(
        "[...document.querySelectorAll('.row:not([hidden])')].map((row) => row.id)"
    )
    for row in exchanges:
        tab.click(f"#{row}")
        tab.wait_for(f"document.querySelector('.chosen')?.id === '{row}'")
        tab.wait_for("document.querySelector('.detail dl') !== null")
        shown = tab.evaluate("document.querySelector('.detail').textContent")
        assert not any(odd in shown for odd in "\u202e\u2066\u2069\u200b\x00\x1b")
        assert len(shown) < 60_000  # of a megabyte, the beginning
    assert tab.evaluate("document.title") != "owned"
    assert (
        tab.evaluate("document.querySelectorAll('main script, main img').length") == 0
    )


def test_the_keyboard_is_enough(tab: Tab, lab: Lab) -> None:
    """The list is one stop; arrows choose, Enter opens, Escape closes."""
    one, two = lab.servers(2)
    refuse(one, two)
    lab.quiet()
    tab.wait_for("document.querySelectorAll('.row:not([hidden])').length > 10")
    tab.wait_for(f"document.body.innerText.includes('{len(lab.exchanges())} of ')")
    tab.evaluate("document.activeElement.blur()")
    for _ in range(40):
        tab.press("Tab")
        if tab.evaluate("document.activeElement.matches('.rows')"):
            break
    else:
        raise AssertionError("Tab does not come to the list")
    tab.press("Home")
    tab.press("ArrowDown")
    assert tab.evaluate("document.querySelector('.chosen').id") == "row-1"
    active = tab.evaluate(
        "document.activeElement.getAttribute('aria-activedescendant')"
    )
    assert active == "row-1"
    tab.press("Enter")
    tab.wait_for("document.querySelector('.detail dl') !== null")
    first = tab.text(".detail h2")
    tab.press("End")
    tab.wait_for(
        f"document.querySelector('.detail h2').innerText !== {json.dumps(first)}"
    )
    tab.evaluate("document.querySelector('.detail').focus()")
    tab.press("Escape")
    tab.wait_for("document.querySelector('.detail') === null")
    assert tab.evaluate("document.activeElement.matches('.rows')")


REPORT = {
    "target": "hs.test",
    "version": {"name": HOSTILE},
    "spec": "v1.19",
    "checks": [
        {
            "id": "A01",
            "area": "requests",
            "severity": "must",
            "result": "fail",
            "rule": f"A request is refused. {HOSTILE}",
            "section": "Request Authentication",
            "expected": "401",
            "observed": HOSTILE,
            "seconds": 0.1,
            "exchange": [{"id": 1, "kind": "request", "path": HOSTILE}, None],
        },
        {"id": "A02", "area": "requests", "result": "pass", "rule": "Another one."},
    ],
}

NO_REPORTS = [
    ("no JSON", "the file is not JSON"),
    ("{}", "the file has no list `checks`"),
    ('{"checks": [{}]}', "`checks[0]` has no text `id`"),
    ('{"checks": [{"id": "A", "result": "good"}]}', "`checks[0].result` is none of"),
]


def test_a_conformance_report_is_opened(tab: Tab, tmp_path: Path) -> None:
    """A file is a table of checks; another file is refused with its reason."""
    tab.evaluate("location.hash = '#/conformance'")
    tab.wait_for("document.querySelector('#report') !== null")
    file = tmp_path / "report.json"
    for text, why in NO_REPORTS:
        file.write_text(text)
        tab.upload("#report", file)
        tab.wait_for_text(".problem", why)
    file.write_text(json.dumps(REPORT))
    tab.upload("#report", file)
    tab.wait_for_text(".tiles", "fail")
    assert tab.evaluate("document.querySelectorAll('details').length") == 2
    tab.click("summary", "A01")
    tab.wait_for_text("details[open]", "homeserver conform hs.test --only A01")
    tab.click(".tiles button", "fail")
    tab.wait_for("document.querySelectorAll('details').length === 1")
    assert "\u202e" not in tab.evaluate("document.querySelector('main').textContent")
    assert (
        tab.evaluate("document.querySelectorAll('main script, main img').length") == 0
    )


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1280, 400])
def test_each_view_fits(tab: Tab, lab: Lab, width: int, scheme: str) -> None:
    """No view is wider than the window, in both themes, and text has its contrast."""
    one, two = lab.servers(2)
    refuse(one, two)
    wide = "document.documentElement.scrollWidth - innerWidth"
    tab.prefer(scheme)
    tab.resize(width, 800)
    for view in ["timeline", f"servers/{two.name}", f"reports/{two.name}/{one.name}"]:
        tab.evaluate(f"location.hash = '#/{view}'")
        awaited = {"t": ".row", "s": "form.fault", "r": ".panel table"}[view[0]]
        tab.wait_for(f"document.querySelector('{awaited}') !== null")
        assert tab.evaluate(wide) <= 0
        assert tab.evaluate(CONTRAST) == []
    tab.evaluate("location.hash = '#/timeline'")
    tab.click(".row .state", "bad_signature")
    tab.wait_for("document.querySelector('.detail table.diff') !== null")
    assert tab.evaluate(wide) <= 0
    assert tab.evaluate(CONTRAST) == []

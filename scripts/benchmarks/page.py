"""The page of the control API in a real browser: a frame of a scroll through its list.

Rules: the time is that of the page's own processes, as the browser counts them; the lab
that serves it is not in it. Left out where Chromium is not installed.
"""

from contextlib import ExitStack
from functools import cache
from http.client import HTTPSConnection
from ssl import create_default_context

from homeserver.testing import Lab
from scripts.benchmarks.table import OURS, Row, Sample
from tests.support.browser_tab import Tab
from tests.support.chromium import PROGRAM, Browser

_EXCHANGES = 10_000
_FRAMES = 240

# A frame moves the list by less than a view and back at its end, so each has new rows.
_SCROLL = f"""new Promise((done) => {{
  const list = document.querySelector(".rows");
  list.scrollTop = 0;
  let frames = 0;
  let step = 400;
  const next = () => {{
    if (++frames > {_FRAMES}) return done(document.querySelectorAll(".row").length);
    if (list.scrollTop + step > list.scrollHeight - list.clientHeight) step = -step;
    list.scrollTop += step;
    requestAnimationFrame(next);
  }};
  requestAnimationFrame(next);
}})"""

_MOST_ROWS = 200  # in the document, of all that the list has


def scrolling(stack: ExitStack) -> list[Row]:
    """The row; what it needs is started when it is first measured."""
    if PROGRAM is None:
        print("chromium is not installed: the page is not measured")
        return []

    @cache
    def opened() -> Tab:
        lab = stack.enter_context(Lab())
        _fill(lab)
        browser = stack.enter_context(Browser())
        tab = browser.open(f"{lab.control}/#token={lab.link.token}")
        tab.wait_for(
            f"parseInt(document.querySelector('.bar [role=status]')?.innerText"
            f".replaceAll(',', '')) >= {_EXCHANGES}"
        )
        return tab

    def measure(_: int) -> Sample:
        tab = opened()
        before = _page_seconds(tab)
        rows = tab.evaluate(_SCROLL)
        if rows > _MOST_ROWS:
            raise AssertionError(f"{rows} rows are in the document")
        return Sample((_page_seconds(tab) - before) / _FRAMES * 1000)

    what = f"page: a frame of a scroll, {_EXCHANGES} exchanges"
    return [Row(what, "ms CPU", {OURS: measure})]


def _fill(lab: Lab) -> None:
    server = lab.server(listen="own")
    host, _, port = server.listen.rpartition(":")
    context = create_default_context(cadata=lab.ca_pem)
    connection = HTTPSConnection(host, int(port), context=context)
    for _ in range(_EXCHANGES):
        connection.request("GET", "/_matrix/federation/v1/version")
        connection.getresponse().read()
    connection.close()


def _page_seconds(tab: Tab) -> float:
    processes = tab.call_browser("SystemInfo.getProcessInfo")["processInfo"]
    pages = (each for each in processes if each["type"] == "renderer")
    return sum(float(each["cpuTime"]) for each in pages)

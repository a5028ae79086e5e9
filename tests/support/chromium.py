"""A Chromium without a window, driven by the DevTools protocol over two pipes.

Rules: each browser has a profile of its own in a temporary folder, and ends with its
context. Whatever the browser complains about is kept in `Tab.complaints`: exceptions,
errors and warnings of the console, and what the content security policy has blocked.
"""

import json
import os
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")

SECONDS = 60.0  # of one call, on a machine that does other things as well

# Root may not use the sandbox; a container has little shared memory; the rest keeps it
# from asking anything of the Internet.
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--metrics-recording-only",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--remote-debugging-pipe",
)

_KEYS = {
    "ArrowDown": 40,
    "ArrowUp": 38,
    "End": 35,
    "Enter": 13,
    "Escape": 27,
    "Home": 36,
    "PageDown": 34,
    "Tab": 9,
}


class BrowserError(Exception):
    """The browser has said no, or nothing."""


class Browser:
    """A running Chromium; enter it to start it."""

    def __init__(self, width: int = 1280, height: int = 800, *options: str) -> None:
        self._size = width, height
        self._options = options
        self._buffer = b""
        self._last_id = 0
        self._tabs: dict[str, Tab] = {}

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        self._folder = TemporaryDirectory(
            prefix="chromium-", ignore_cleanup_errors=True
        )
        reads, theirs_out = os.pipe()
        theirs_in, writes = os.pipe()
        width, height = self._size
        # The protocol is at descriptors 3 and 4. A plain `sh` takes one digit alone.
        wrapped = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        command = [
            *("bash", "-c", wrapped, "bash", PROGRAM, *_OPTIONS, *self._options),
            f"--user-data-dir={self._folder.name}",
            f"--window-size={width},{height}",
            "about:blank",
        ]
        with (Path(self._folder.name) / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs_in, theirs_out),
            )
        os.close(theirs_in)
        os.close(theirs_out)
        self._reads, self._writes = reads, writes
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.call("Browser.close")
        except (BrowserError, OSError):
            self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._reads)
        os.close(self._writes)
        self._folder.cleanup()

    def open(self, address: str) -> "Tab":
        """A new tab; returns when the document is there."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(self, attached["sessionId"])
        self._tabs[attached["sessionId"]] = tab
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            tab.call(f"{domain}.enable")
        tab.go(address)
        return tab

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Call a method of the protocol; raises `BrowserError`."""
        self._last_id += 1
        call_id = self._last_id
        message: dict[str, Any] = {"id": call_id, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._next(deadline - time.monotonic(), method)
            if answer.get("id") == call_id:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)

    def _next(self, seconds: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select([self._reads], [], [], max(0.0, seconds))
            data = os.read(self._reads, 2**20) if ready else b""
            if not data:
                raise BrowserError(f"{what}: no answer of the browser")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        tab = self._tabs.get(event.get("sessionId", ""))
        if tab is not None:
            tab.note(event["method"], event["params"])


class Tab:
    """One page in a browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser = browser
        self._session = session
        self.complaints: list[str] = []
        self.requested: list[str] = []
        """The addresses of all requests."""

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol for this page; raises `BrowserError`."""
        return self.browser.call(method, self._session, **params)

    def note(self, method: str, params: dict[str, Any]) -> None:
        """Take an event of the protocol."""
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            told = details.get("exception", {}).get("description", details["text"])
            self.complaints.append(told)
        elif method == "Log.entryAdded" and params["entry"]["level"] != "info":
            entry = params["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in {
            "error",
            "warning",
            "assert",
        }:
            self.complaints.append(f"console: {params['args']}")
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])

    def go(self, address: str) -> None:
        """Go to an address; returns when the document is there."""
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, awaited; raises `BrowserError`."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(
                details.get("exception", {}).get("description", details["text"])
            )
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = SECONDS) -> Any:
        """Wait until an expression is true; returns its value."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.evaluate(expression)
            except BrowserError:
                found = None  # the document is just being replaced
            if found:
                return found
            if time.monotonic() > deadline:
                shown = self.evaluate("document.body.innerText.slice(-1500)")
                raise BrowserError(
                    f"not true: {expression}; complaints: {self.complaints}; the page "
                    f"has:\n{shown}"
                )
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """The text of an element; empty if there is none."""
        found = f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"
        return str(self.evaluate(found))

    def wait_for_text(self, selector: str, text: str, seconds: float = SECONDS) -> None:
        """Wait until an element has a text in it."""
        found = f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"
        self.wait_for(f"({found}).includes({json.dumps(text)})", seconds)

    def click(self, selector: str, text: str = "") -> None:
        """Click the first element that is seen, has a text in it, and stands still."""
        find = f"""(() => {{
          const found = [...document.querySelectorAll({json.dumps(selector)})]
            .filter((each) => each.getBoundingClientRect().width > 0)
            .find((each) => each.innerText.includes({json.dumps(text)}));
          if (!found) return null;
          found.scrollIntoView({{ block: "nearest" }});
          const box = found.getBoundingClientRect();
          return [box.x + Math.min(box.width / 2, 40), box.y + box.height / 2];
        }})()"""
        spot, last = self.wait_for(find), None
        while spot != last:
            time.sleep(0.25)
            spot, last = self.wait_for(find), spot
        where = {"x": spot[0], "y": spot[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def press(self, key: str) -> None:
        """Press a key that writes nothing, such as `ArrowDown`."""
        told = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        if key == "Enter":
            told["text"] = "\r"
        self.call("Input.dispatchKeyEvent", type="keyDown", **told)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def write(self, text: str) -> None:
        """Write a text into what has the focus."""
        self.call("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose a value of a menu."""
        self.evaluate(
            f"""(() => {{
              const menu = document.querySelector({json.dumps(selector)});
              menu.value = {json.dumps(value)};
              menu.dispatchEvent(new Event("change", {{ bubbles: true }}));
            }})()"""
        )

    def resize(self, width: int, height: int) -> None:
        """Let the page have another size."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """Let the user prefer `dark` or `light`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """Save what is seen as a PNG file."""
        answer = self.call(
            "Page.captureScreenshot", format="png", optimizeForSpeed=False
        )
        path.write_bytes(b64decode(answer["data"]))

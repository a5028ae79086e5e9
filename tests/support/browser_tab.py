"""One page in a browser, as a person uses it.

Rules: whatever the browser complains about is kept in `complaints`: exceptions, errors
and warnings of the console, and what the content security policy has blocked. A click
meets what it is meant for, or nothing.
"""

import json
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.eventually import HANGING_SECONDS

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


class Tab:
    """One page in a browser."""

    def __init__(self, call: Callable[..., Any], session: str) -> None:
        self.call_browser = call
        """Calls a method of the protocol for the browser."""

        self._session = session
        self.complaints: list[str] = []
        self.requested: list[str] = []
        """The addresses of all requests."""

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol for this page; raises `BrowserError`."""
        return self.call_browser(method, self._session, **params)

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

    def wait_for(self, expression: str, seconds: float = HANGING_SECONDS) -> Any:
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

    def wait_for_text(self, selector: str, text: str) -> None:
        """Wait until an element has a text in it."""
        found = f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"
        self.wait_for(f"({found}).includes({json.dumps(text)})")

    def click(self, selector: str, text: str = "") -> None:
        """Click the first element that is seen and has a text in it.

        The page may move after the element was looked for. A click that would meet
        another one is kept from it, and made again.
        """
        aim = f"""(() => {{
          const found = [...document.querySelectorAll({json.dumps(selector)})]
            .filter((each) => each.getBoundingClientRect().width > 0)
            .find((each) => each.innerText.includes({json.dumps(text)}));
          if (!found) return null;
          found.scrollIntoView({{ block: "nearest" }});
          removeEventListener("click", window.clickGuard, true);
          window.clickMet = "nothing";
          window.clickGuard = (event) => {{
            const isFound = event.composedPath().includes(found);
            window.clickMet = isFound ? "it" : "another";
            if (isFound) return;
            event.preventDefault();
            event.stopImmediatePropagation();
          }};
          addEventListener("click", window.clickGuard, {{ capture: true, once: true }});
          const box = found.getBoundingClientRect();
          return [box.x + Math.min(box.width / 2, 40), box.y + box.height / 2];
        }})()"""
        deadline = time.monotonic() + HANGING_SECONDS
        while True:
            x, y = self.wait_for(aim)
            where = {"x": x, "y": y, "button": "left", "clickCount": 1}
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, **where)
            if self._click_met() not in {"nothing", "another"}:  # or it is a new page
                return
            if time.monotonic() > deadline:
                raise BrowserError(f"not to be clicked: {selector} {text}")

    def _click_met(self) -> str | None:
        """What the click has met, which may come a moment after the button's release.

        There is no click at all if an element is replaced while the button is down.
        """
        met = None
        for _ in range(20):
            met = self.evaluate("window.clickMet")
            if met != "nothing":
                break
            time.sleep(0.05)
        return met

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

    def upload(self, selector: str, path: Path) -> None:
        """Choose a file in an input of files."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=root, selector=selector)
        self.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(path)])

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

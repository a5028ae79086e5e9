"""A Chromium without a window, driven by the DevTools protocol over two pipes.

Rules: each browser has a profile of its own in a temporary folder, and ends with its
context. The page in it is a `Tab`.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from tests.support.browser_tab import BrowserError, Tab
from tests.support.eventually import HANGING_SECONDS

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")

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
            self._process.wait(HANGING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._reads)
        os.close(self._writes)
        self._folder.cleanup()

    def open(self, address: str) -> Tab:
        """A new tab; returns when the document is there."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(self.call, attached["sessionId"])
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
        deadline = time.monotonic() + HANGING_SECONDS
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

"""Requests to the control API of a lab.

Rules: a call blocks until it has its answer. An error response is a `LabError`, whose
text is the lab's own sentence.
"""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

# Beyond the time that a request may wait by itself.
_SECONDS = 30.0

Answer = dict[str, Any]
"""The JSON object of an answer."""


class LabError(Exception):
    """A lab refused a request, or there is none; `str()` says why."""

    def __init__(
        self, why: str, status: int | None = None, answer: Answer | None = None
    ) -> None:
        super().__init__(why)
        self.status = status
        """The HTTP status; None without an answer."""

        self.answer = answer or {}
        """The JSON of the answer."""


class Link:
    """The control API of one lab."""

    def __init__(self, url: str, token: str) -> None:
        """`url` is such as `http://127.0.0.1:8008`; raises `ValueError`."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"not the URL of a lab's control API: {url}")
        self.url = url.rstrip("/")
        self.token = token
        self._host = parts.hostname
        self._port = parts.port or 80

    def call(
        self,
        method: str,
        *steps: str,
        content: object = None,
        query: Mapping[str, object] | None = None,
        seconds: float = 0.0,
    ) -> Answer:
        """Ask a route, given as the steps of its path; returns its JSON.

        `seconds` is how long the lab may wait before it answers. Raises `LabError`.
        """
        answer = json.loads(
            self.read(method, *steps, content=content, query=query, seconds=seconds)
        )
        return answer if isinstance(answer, dict) else {"value": answer}

    def read(
        self,
        method: str,
        *steps: str,
        content: object = None,
        query: Mapping[str, object] | None = None,
        seconds: float = 0.0,
    ) -> bytes:
        """As `call`: the bytes of the answer."""
        target = "".join("/" + quote(step, safe=".") for step in steps)
        given = {k: _text(v) for k, v in (query or {}).items() if v is not None}
        if given:
            target += "?" + urlencode(given)
        headers = {"Authorization": f"Bearer {self.token}"}
        body = None
        if content is not None:
            body = json.dumps(content).encode()
            headers["Content-Type"] = "application/json"
        connection = HTTPConnection(self._host, self._port, timeout=seconds + _SECONDS)
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            data = response.read()
        except (OSError, HTTPException) as problem:
            raise LabError(f"no lab answers at {self.url}: {problem}") from None
        finally:
            connection.close()
        if response.status >= 400:
            raise _error(response.status, data)
        return data


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _error(status: int, data: bytes) -> LabError:
    try:
        answer = json.loads(data)
        return LabError(answer.get("error", f"status {status}"), status, answer)
    except (ValueError, AttributeError):
        return LabError(f"status {status}: {data[:200]!r}", status)

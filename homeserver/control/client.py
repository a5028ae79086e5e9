"""A client of the control API, for the commands.

Rules: calls block, for one command at a time. The message of an error is one line that
says what to do.
"""

import json
import re
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote, urlencode

from homeserver.config.values import Config
from homeserver.protocol.canonical_json import Json

MAX_WAIT_SECONDS = 60.0  # of one request; a client that waits longer repeats it


class ControlError(Exception):
    """The daemon did not answer, or refused the request; `str()` says why."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        """The HTTP status, if the daemon answered."""


class ControlClient:
    """A client of the daemon of one configuration."""

    def __init__(self, path: Path, config: Config) -> None:
        """Raises `ControlError` if the control API is off or its token is invalid."""
        if config.control.listen is None:
            raise ControlError(
                f"{path} turns the control API off; set `listen` in [control]"
            )
        self._path = path
        self._where = config.control.listen
        try:
            self._token = load_token(config.control.token_file)
        except ValueError as problem:
            raise ControlError(f"{path}: {problem}") from None

    def get(self, *steps: str, timeout: float = 10.0, **arguments: object) -> Json:
        """GET a route, given as the steps of its path; raises `ControlError`."""
        query = urlencode({k: v for k, v in arguments.items() if v is not None})
        target = _target(steps) + (f"?{query}" if query else "")
        return self._call("GET", target, None, timeout)

    def post(self, *steps: str, content: Json) -> Json:
        """POST a JSON object to a route; raises `ControlError`."""
        return self._call("POST", _target(steps), json.dumps(content).encode(), 10.0)

    def put(self, *steps: str, content: Json) -> Json:
        """PUT a JSON object to a route; raises `ControlError`."""
        return self._call("PUT", _target(steps), json.dumps(content).encode(), 10.0)

    def delete(self, *steps: str) -> Json:
        """DELETE a route; raises `ControlError`."""
        return self._call("DELETE", _target(steps), None, 10.0)

    def _call(
        self, method: str, target: str, body: bytes | None, timeout: float
    ) -> Json:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - to connect to
            self._where.host, self._where.host
        )
        connection = HTTPConnection(host, self._where.port, timeout=timeout)
        try:
            connection.request(
                method, target, body, {"Authorization": f"Bearer {self._token}"}
            )
            response = connection.getresponse()
            if not response.getheader("Server", "").startswith("homeserver/"):
                raise ControlError(
                    f"another program answers at {self._where}; let `listen` in "
                    f"[control] in {self._path} be a port of the daemon's own"
                )
            reply = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            raise ControlError(
                f"no daemon answers at {self._where} ({error}); start it with: "
                f"homeserver run -c {self._path}"
            ) from None
        finally:
            connection.close()
        if response.status >= 400:
            raise ControlError(
                str(reply.get("error", response.reason)), response.status
            )
        answer: Json = reply
        return answer


def load_token(file: Path) -> str:
    """The token in a file; raises `ValueError` if it does not fit into a header."""
    found = re.fullmatch(rb"\s*([!-~]+)\s*", file.read_bytes())
    if found is None:
        raise ValueError(
            f"control.token_file: {file} has no token in it, one word of ASCII"
        )
    return found[1].decode("ascii")


def _target(steps: tuple[str, ...]) -> str:
    return "".join("/" + quote(step, safe="") for step in steps)

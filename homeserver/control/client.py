"""A client of the control API, for the commands.

Rules: calls block, for one command at a time. The message of an error is one line that
says what to do.
"""

import json
import re
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct

from homeserver.config.values import Config
from homeserver.control import address_file
from homeserver.net.system_errors import in_words
from homeserver.protocol.canonical_json import Json

MAX_WAIT_SECONDS = 60.0  # of one request; a client that waits longer repeats it


class ControlError(Exception):
    """The daemon did not answer, or refused the request; `str()` says why."""

    def __init__(
        self, why: str, status: int | None = None, remarks: Sequence[str] = ()
    ) -> None:
        super().__init__(why)
        self.status = status
        """The HTTP status, if the daemon answered."""

        self.remarks = remarks
        """What a daemon that is not well says about itself."""


class ControlPlace(Struct, frozen=True):
    """Where a daemon is, and how it is called in messages."""

    host: str
    port: int
    shown: str
    """As the user has named it: an address or a URL."""

    start: str
    """What to do if nothing answers."""

    token_source: str
    """Where the token comes from."""


class ControlClient:
    """A client of one daemon."""

    def __init__(
        self, place: ControlPlace, token: str | None, server: str | None = None
    ) -> None:
        """`token` is None for what needs none; `server` is the server that is meant.

        Without `server`, the daemon chooses.
        """
        self._place = place
        self._token = token
        self._server = server

    @classmethod
    def of_config(
        cls,
        path: Path,
        config: Config,
        server: str | None = None,
        *,
        needs_token: bool = True,
    ) -> Self:
        """A client of the daemon of the configuration at `path`.

        Raises `ControlError` if the control API is off, if its token is invalid, or if
        its port is any free one and no daemon has written it down.
        """
        control = config.control
        if control.listen is None:
            raise ControlError(
                f"{path} turns the control API off; set `listen` in [control]"
            )
        start = f"start it with: homeserver run -c {path}"
        try:
            where = address_file.find(control.listen, control.token_file)
            token = load_token(control.token_file) if needs_token else None
        except FileNotFoundError as problem:
            raise ControlError(
                f"no daemon has written its address ({problem.filename} is missing); "
                f"{start}"
            ) from None
        except ValueError as problem:
            raise ControlError(f"{path}: {problem}") from None
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - to connect to
            where.host, where.host
        )
        source = str(control.token_file)
        place = ControlPlace(host, where.port, str(where), start, source)
        return cls(place, token, server)

    @classmethod
    def at_url(
        cls, url: str, token: str | None, token_source: str, server: str | None = None
    ) -> Self:
        """A client of the daemon at `http://HOST:PORT`; raises `ValueError`."""
        try:
            host, port = _split(url)
        except ValueError:
            raise ValueError(
                f"{url!r} is not the URL of a control API, http://HOST:PORT"
            ) from None
        start = "start it with: homeserver lab"
        place = ControlPlace(host, port, url, start, token_source)
        return cls(place, token, server)

    def get(self, *steps: str, timeout: float = 10.0, **arguments: object) -> Json:
        """GET a route, given as the steps of its path; raises `ControlError`."""
        return self._call("GET", self._target(steps, arguments), None, timeout)

    def post(self, *steps: str, content: Json, timeout: float = 10.0) -> Json:
        """POST a JSON object to a route; raises `ControlError`."""
        body = json.dumps(content).encode()
        return self._call("POST", self._target(steps), body, timeout)

    def put(self, *steps: str, content: Json) -> Json:
        """PUT a JSON object to a route; raises `ControlError`."""
        return self._call("PUT", self._target(steps), json.dumps(content).encode())

    def delete(self, *steps: str, **arguments: object) -> Json:
        """DELETE a route; raises `ControlError`."""
        return self._call("DELETE", self._target(steps, arguments), None)

    def _target(
        self, steps: tuple[str, ...], arguments: Mapping[str, object] | None = None
    ) -> str:
        chosen = {"server": self._server, **(arguments or {})}
        query = urlencode({k: v for k, v in chosen.items() if v is not None})
        path = "".join("/" + quote(step, safe="") for step in steps)
        return f"{path}?{query}" if query else path

    def _call(
        self, method: str, target: str, body: bytes | None, timeout: float = 10.0
    ) -> Json:
        place = self._place
        headers = {}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        connection = HTTPConnection(place.host, place.port, timeout=timeout)
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            data = response.read()
            if not response.getheader("Server", "").startswith("homeserver/"):
                raise ControlError(
                    f"another program answers at {place.shown}; let `listen` in "
                    "[control] be a port of the daemon's own"
                )
            reply = json.loads(data)
        except (OSError, HTTPException, ValueError) as error:
            raise ControlError(
                f"no daemon answers at {place.shown} ({in_words(error)}); {place.start}"
            ) from None
        finally:
            connection.close()
        if response.status >= 400:
            raise self._refusal(response.status, reply)
        answer: Json = reply
        return answer

    def _refusal(self, status: int, reply: object) -> ControlError:
        error: Json = reply if isinstance(reply, dict) else {}
        if error.get("errcode") == "M_UNKNOWN_TOKEN":
            why = (
                f"the token in {self._place.token_source} is not that of the daemon at "
                f"{self._place.shown}"
            )
            return ControlError(why, status)
        reason, remarks = error.get("error", f"status {status}"), error.get("remarks")
        said = [*map(str, remarks)] if isinstance(remarks, list) else []
        return ControlError(str(reason), status, said)


def _split(url: str) -> tuple[str, int]:
    """The host and the port of a URL that has nothing else; raises `ValueError`."""
    parts = urlsplit(url)
    host, more = parts.hostname, (parts.path.strip("/"), parts.query, parts.username)
    if parts.scheme != "http" or not host or any(more):
        raise ValueError(url)
    host.encode("idna")
    return host, 80 if parts.port is None else parts.port


def load_token(file: Path) -> str:
    """The token in a file; raises `ValueError` if it does not fit into a header."""
    try:
        return parse_token(file.read_bytes(), str(file))
    except ValueError as problem:
        raise ValueError(f"control.token_file: {problem}") from None


def parse_token(data: bytes, where: str) -> str:
    """The token in what `where` has; raises `ValueError`, which names it."""
    found = re.fullmatch(rb"\s*([!-~]+)\s*", data)
    if found is None:
        raise ValueError(f"{where} has no token in it, one word of ASCII")
    return found[1].decode("ascii")

"""A lab, as a test suite uses it: started, or joined where one runs.

Rules: a lab that is started here ends with its context. `HOMESERVER_LAB` names one to
join, with its token in `HOMESERVER_LAB_TOKEN`; servers of others in it are not touched.
"""

import os
from types import TracebackType
from typing import Any, Self

from homeserver.testing.link import Answer, Link
from homeserver.testing.process import LabProcess
from homeserver.testing.server import (
    Server,
    exchanges_of,
    expect_of,
    quiet_of,
)
from homeserver.testing.values import Exchange

URL_VARIABLE = "HOMESERVER_LAB"
TOKEN_VARIABLE = "HOMESERVER_LAB_TOKEN"  # noqa: S105 - its name


class Lab:
    """A lab; enter it to start or to join it."""

    link: Link
    """Its control API."""

    control: str
    """The URL of the control API."""

    listen: str
    """HOST:PORT that servers share."""

    dns: str
    """HOST:PORT of the name server."""

    zone: str
    ca_pem: str
    """The authority that a server under test has to trust."""

    def __init__(
        self, *options: str, url: str | None = None, token: str | None = None
    ) -> None:
        """`options` are those of `homeserver lab`, where one is started.

        `url` and `token` are those of a lab to join; by default the environment's.
        """
        self._options = options
        self._url = url or os.environ.get(URL_VARIABLE)
        self._token = token or os.environ.get(TOKEN_VARIABLE, "")
        self._process: LabProcess | None = None
        self.ca_file: str | None = None
        """A file with `ca_pem`; None for a lab that was joined."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process, or join one; raises `LabError`."""
        if self._url is not None:
            self.link = Link(self._url, self._token)
            where = self.link.call("GET", "v1", "lab")
        else:
            self._process = LabProcess(self._options)
            where = self._process.whereabouts
            self.link = Link(where["control"], where["token"])
            self.ca_file = where["ca_file"]
        self.control = self.link.url
        self.listen, self.dns, self.zone = where["listen"], where["dns"], where["zone"]
        self.ca_pem = where["ca_pem"]

    def stop(self) -> None:
        """End the process, if one was started here."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def server(self, name: str | None = None, **members: Any) -> Server:
        """Make a server; `members` are those of `POST /v1/servers`."""
        [server] = self.servers(1, name=name, **members)
        return server

    def servers(self, count: int, **members: Any) -> list[Server]:
        """Make servers with names of their own."""
        body = {k: v for k, v in members.items() if v is not None} | {"count": count}
        answer = self.link.call("POST", "v1", "servers", content=body, seconds=60.0)
        return [Server(self.link, each) for each in answer["servers"]]

    def exchanges(self, **filters: Any) -> list[Exchange]:
        """What passed, oldest first; `filters` are those of `GET /v1/exchanges`."""
        return exchanges_of(self.link, **filters)

    def exchange(self, exchange_id: int) -> Answer:
        """Everything that is known of one exchange."""
        return self.link.call("GET", "v1", "exchanges", str(exchange_id))

    def expect(
        self,
        *,
        count: int = 1,
        within: float = 10.0,
        never: bool = False,
        after: int = 0,
        **match: Any,
    ) -> list[Exchange]:
        """Wait until `count` exchanges match, those in the record included.

        With `never`, none may match for all of `within` seconds. Raises
        `ExpectationFailed`, which says what was nearest.
        """
        return expect_of(
            self.link, match, count=count, within=within, never=never, after=after
        )

    def quiet(
        self, *servers: Server, seconds: float = 2.0, within: float = 30.0
    ) -> None:
        """Wait until nothing has arrived for so many seconds; raises `LabError`."""
        names = [server.name for server in servers]
        quiet_of(self.link, names, seconds=seconds, within=within)

    def certificate(self, *names: str) -> tuple[str, str]:
        """A certificate of the lab's authority for a server under test, and its key.

        Both are PEM; the first is the chain.
        """
        body = {"names": list(names)}
        answer = self.link.call("POST", "v1", "ca", "certificates", content=body)
        return answer["certificate"], answer["private_key"]

    def forget(self, **filters: Any) -> int:
        """Remove exchanges from the record; returns how many."""
        answer = self.link.call("DELETE", "v1", "exchanges", query=filters)
        return int(answer["forgotten"])

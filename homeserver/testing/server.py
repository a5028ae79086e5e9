"""One server of a lab, as a test uses it.

Rules: everything is asked of the lab. What is remembered here is who the server is, and
which of its exchanges the test has expected.
"""

from collections.abc import Sequence
from typing import Any

from homeserver.testing.link import Answer, LabError, Link
from homeserver.testing.values import Exchange, ExpectationFailed, Response, Sent


class Server:
    """A server of a lab."""

    def __init__(self, link: Link, json: Answer) -> None:
        """`json` is the server as the control API shows it."""
        self._link = link
        self.expected: set[int] = set()
        """The IDs of the exchanges that `expect` has returned."""

        self._take(json)

    def _take(self, json: Answer) -> None:
        self.json = json
        self.name: str = json["server_name"]
        self.key_id: str = json["key_id"]
        self.verify_key: str = json["verify_key"]
        """In unpadded base64."""

        self.listen: str = json["listen"]
        """HOST:PORT."""

        self.certificate_sha256: str = json["certificate_sha256"]

    def __repr__(self) -> str:
        return f"Server({self.name!r})"

    def request(
        self,
        destination: str,
        path: str,
        *,
        method: str = "GET",
        content: object = None,
        timeout: float = 30.0,
        **members: Any,
    ) -> Response:
        """Send one request to another server now.

        `members` are the others of the route: `query`, `headers`, `sign` and
        `spoil`. Raises `LabError` for a request that cannot be written.
        """
        body: Answer = {"destination": destination, "path": path, "method": method}
        body |= {"timeout": timeout} | members
        if content is not None:
            body["content"] = content
        answer = self._call("POST", "request", content=body, seconds=timeout)
        return Response.of(answer)

    def send(
        self,
        destination: str,
        *,
        pdus: Sequence[object] = (),
        edus: Sequence[object] = (),
        wait: float = 30.0,
        **members: Any,
    ) -> Sent:
        """Queue a transaction, and wait for its outcome for so many seconds."""
        body = {"pdus": list(pdus), "edus": list(edus)} | members
        queued = self._call("POST", "send", destination, content=body)
        return self.sent(destination, queued["id"], wait=wait)

    def sent(self, destination: str, entry_id: int, *, wait: float = 0.0) -> Sent:
        """How far a transaction is; waits for its outcome for so many seconds."""
        steps = ("send", destination, str(entry_id))
        return Sent.of(self._call("GET", *steps, query={"wait": wait}, seconds=wait))

    def received(self, *, after: int = 0, wait: float = 0.0) -> list[Answer]:
        """The transactions that it has received, oldest first."""
        query = {"after": after, "wait": wait}
        answer = self._call("GET", "received", query=query, seconds=wait)
        return list(answer["transactions"])

    def refused(self, *, after: int = 0, wait: float = 0.0) -> list[Answer]:
        """The requests that it has refused, oldest first."""
        query = {"after": after, "wait": wait}
        answer = self._call("GET", "refused", query=query, seconds=wait)
        return list(answer["refused"])

    def resolve(self, name: str) -> Answer:
        """How another server's name resolves for it."""
        return self._call("GET", "resolve", name, seconds=60.0)

    def keys(self, name: str) -> Answer:
        """The key documents of another server, and what is wrong with them."""
        return self._call("GET", "keys", name, seconds=60.0)

    def exchanges(self, **filters: Any) -> list[Exchange]:
        """What passed at this server, oldest first."""
        return exchanges_of(self._link, server=self.name, **filters)

    def expect(
        self,
        *,
        count: int = 1,
        within: float = 10.0,
        never: bool = False,
        after: int = 0,
        **match: Any,
    ) -> list[Exchange]:
        """As `Lab.expect`, at this server."""
        match["server"] = self.name
        found = expect_of(
            self._link, match, count=count, within=within, never=never, after=after
        )
        self.expected.update(each.id for each in found)
        return found

    def quiet(self, *, seconds: float = 2.0, within: float = 30.0) -> None:
        """Wait until nothing has arrived here for so long; raises `LabError`."""
        quiet_of(self._link, [self.name], seconds=seconds, within=within)

    def rule(self, do: dict[str, Any], **members: Any) -> int:
        """Put a fault in force, such as `{"http.status": 503}`; returns its ID.

        `members` are those of the route: `match`, `times`, `skip` and so on.
        """
        answer = self._call("POST", "rules", content={"do": do} | members)
        return int(answer["id"])

    def change(self, **members: Any) -> None:
        """Change keys, certificate, DNS records or the well-known document."""
        changed = self._link.call("PATCH", "v1", "servers", self.name, content=members)
        self._take(changed)

    def delete(self, *, gone: bool = False) -> None:
        """Delete it; it goes on answering politely unless it is to be `gone`."""
        self._link.call("DELETE", "v1", "servers", self.name, query={"gone": gone})

    def _call(self, method: str, *steps: str, **arguments: Any) -> Answer:
        return self._link.call(method, "v1", "servers", self.name, *steps, **arguments)


def exchanges_of(link: Link, **filters: Any) -> list[Exchange]:
    """The exchanges in the record, all pages of them."""
    found: list[Exchange] = []
    limit = filters.pop("limit", None)
    wait = filters.pop("wait", 0.0)
    after = filters.pop("after", 0)
    while True:
        query = filters | {"after": after, "wait": wait, "limit": limit or 1000}
        page = link.call("GET", "v1", "exchanges", query=query, seconds=wait)
        found += [Exchange.of(each) for each in page["exchanges"]]
        if limit is not None or len(page["exchanges"]) < 1000:
            return found
        after, wait = page["next"], 0.0


def expect_of(
    link: Link,
    match: dict[str, Any],
    *,
    count: int,
    within: float,
    never: bool,
    after: int,
) -> list[Exchange]:
    """Wait for exchanges; raises `ExpectationFailed`."""
    body = {
        "match": match,
        "count": count,
        "within": within,
        "never": never,
        "after": after,
    }
    try:
        answer = link.call("POST", "v1", "expect", content=body, seconds=within)
    except LabError as problem:
        if problem.status != 408:
            raise
        raise ExpectationFailed(
            match, problem.answer, count=count, never=never
        ) from None
    return [Exchange.of(each) for each in answer["matched"]]


def quiet_of(
    link: Link, servers: Sequence[str], *, seconds: float, within: float
) -> None:
    """Wait for silence; raises `LabError` with the last arrivals."""
    body = {"servers": list(servers), "for": seconds, "within": within}
    try:
        link.call("POST", "v1", "quiet", content=body, seconds=within)
    except LabError as problem:
        latest = [Exchange.of(each) for each in problem.answer.get("latest", [])]
        if not latest:
            raise
        lines = "\n".join(f"  {each}" for each in latest)
        raise LabError(
            f"it was not quiet within {within:g} seconds; the last arrivals:\n{lines}",
            problem.status,
            problem.answer,
        ) from None

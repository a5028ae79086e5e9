"""Routes that take what they are given, and answer when the test says so."""

from twisted.internet.defer import Deferred

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Route, Router


class Desk(Router):
    """Takes bodies, and answers at once or when the test says so."""

    def __init__(self, *, waits: bool = False) -> None:
        super().__init__(
            [
                Route(each, "/", self._take, self.judge)
                for each in ("PUT", "POST", "GET")
            ]
        )
        self._waits = waits
        self.taken: list[bytes] = []
        self.arguments: list[dict[bytes, list[bytes]]] = []
        self.results: list[Deferred[None]] = []

    def judge(self, request: Request) -> None:
        """Admit every body."""

    async def _take(self, request: Request) -> Reply:
        assert request.content is not None
        assert request.args is not None
        number = len(self.taken)
        self.taken.append(request.content.read())
        self.arguments.append(request.args)
        if self._waits:
            result: Deferred[None] = Deferred()
            self.results.append(result)
            await result
        return json_reply({"number": number})

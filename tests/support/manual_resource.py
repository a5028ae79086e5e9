"""A resource that takes what it is given, and answers when the test says so."""

from twisted.internet.defer import Deferred

from homeserver.http.request import Request
from homeserver.http.resource import JsonResource, Reply, json_reply


class Desk(JsonResource):
    """Takes bodies, and answers at once or when the test says so."""

    def __init__(self, *, waits: bool = False) -> None:
        super().__init__({b"PUT": self._take, b"POST": self._take, b"GET": self._take})
        self._waits = waits
        self.taken: list[bytes] = []
        self.arguments: list[dict[bytes, list[bytes]]] = []
        self.results: list[Deferred[None]] = []

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

"""Resources that answer in JSON, and errors to JSON in one place.

Rules of the room: a resource's work is a coroutine. What it raises becomes an answer
here and nowhere else: a peer's fault with its reason, a store that is not available as
503, and whatever else as a 500 that tells the peer nothing. Here, too, the account of a
request is closed, whether or not the client still waits.

Specification: Server-server API, "API standards"; Client-server API, "Standard error
response".
"""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource

from homeserver import __version__
from homeserver.http.request import Request
from homeserver.http.request_log import NO_ROUTE, Account
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import (
    LimitExceeded,
    MethodNotAllowed,
    ProtocolError,
    Unrecognized,
)
from homeserver.storage.engine.interface import StoreUnavailable

SERVER = f"homeserver/{__version__}"
_SERVER = SERVER.encode()


class Reply(Struct, frozen=True):
    """What a resource answers."""

    body: bytes
    """JSON."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(value: Json, status: int = 200) -> Reply:
    """A JSON object as a reply."""
    return Reply(encode(value), status)


# Not much more than a request that is refused has itself. The log has all of a reason.
_MAX_ERROR_BYTES = 1024

_NOT_DONE_YET = 1  # what Twisted's web server calls so

Answer = Callable[[Request], Reply | Awaitable[Reply]]
"""What answers a request; what has nothing to wait for is no coroutine function."""


class Guarded(Struct, frozen=True):
    """What answers a request, and what may refuse one before its body is there."""

    answer: Answer
    admit: Callable[[Request], object]
    """Raises `ProtocolError` for a request that its head condemns."""

    def __call__(self, request: Request) -> Reply | Awaitable[Reply]:
        """Answer a request, as an `Answer` does."""
        return self.answer(request)


class JsonResource(Resource):
    """A resource that answers in JSON, by one coroutine function for each method."""

    _log = Logger()

    def __init__(
        self, answers: Mapping[bytes, Answer] | None = None, route: str = NO_ROUTE
    ) -> None:
        """`answers` is {method: coroutine function}; none where it only leads on.

        `route` is the template of the paths that lead here.
        """
        super().__init__()
        self._answers = answers or {}
        self._route = route

    def getChild(self, path: bytes, request: Request) -> IResource:
        """What is below: itself for a trailing slash, else nothing that is known."""
        if path == b"" and not request.postpath:
            return self
        return JsonResource()

    def render(self, request: Request) -> int:
        """As Twisted asks for it: answer at once, or when the coroutine is done."""
        account = Account.of(request)
        account.route = self._route
        try:
            answer = self.find_answer(request)(request)
        except Exception as problem:  # noqa: BLE001 - each of them is answered
            answer = self._error(account, problem)
        if isinstance(answer, Reply):
            self._end(request, account, answer)
        else:
            Deferred.fromCoroutine(
                self._answer_later(request, account, answer)
            ).addErrback(
                lambda failure: self._log.failure("an answer was not sent", failure)
            )
        return _NOT_DONE_YET

    def admit(self, request: Request) -> None:
        """Raise `ProtocolError` for a request that is refused by its head alone."""
        answer = self.find_answer(request)
        if isinstance(answer, Guarded):
            answer.admit(request)

    def refuse(self, account: Account, problem: ProtocolError) -> Reply:
        """The answer to a request that is refused."""
        account.route = self._route
        reply = refusal(account, problem)
        if isinstance(problem, MethodNotAllowed):
            allowed = b", ".join(sorted(self._answers)).decode("ascii")
            reply = replace(reply, headers={"Allow": allowed})
        return reply

    async def _answer_later(
        self, request: Request, account: Account, answer: Awaitable[Reply]
    ) -> None:
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        try:
            reply = await answer
        except Exception as problem:  # noqa: BLE001 - each of them is answered
            reply = self._error(account, problem)
        account.is_gone = bool(gone)
        self._end(request, account, reply)

    def _error(self, account: Account, problem: Exception) -> Reply:
        """What is answered where there should have been a reply."""
        if isinstance(problem, ProtocolError):
            return self.refuse(account, problem)
        if isinstance(problem, StoreUnavailable):
            account.errcode, account.error = "M_UNKNOWN", str(problem)
            return error_reply(503, "M_UNKNOWN", "the store is not available")
        # Logged here; the peer learns nothing of it.
        self._log.failure("an error of ours", Failure(problem))
        return error_reply(500, "M_UNKNOWN", "internal error")

    def _end(self, request: Request, account: Account, reply: Reply) -> None:
        if getattr(request, "is_refused", False):
            return  # it gave way while it waited for something
        account.close(reply.status)
        if not account.is_gone:
            self._write(request, reply)

    def find_answer(self, request: Request) -> Answer:
        """What answers the request's method; raises `ProtocolError` if nothing does."""
        if not self._answers:
            raise Unrecognized("there is no such route here")
        # HEAD is GET whose body Twisted leaves out.
        method = b"GET" if request.method == b"HEAD" else request.method
        if method not in self._answers:
            raise MethodNotAllowed("this route is not asked with this method")
        return self._answers[method]

    def _write(self, request: Request, reply: Reply) -> None:
        request.setResponseCode(reply.status)
        headers = request.responseHeaders
        headers.setRawHeaders(b"Server", [_SERVER])
        headers.setRawHeaders(b"Content-Type", [b"application/json"])
        # A length, so that the body is never sent in chunks: 2014's peers read none.
        headers.setRawHeaders(b"Content-Length", [b"%d" % len(reply.body)])
        for name, value in reply.headers.items():
            request.setHeader(name.encode("ascii"), value.encode("ascii"))
        request.write(reply.body)
        request.finish()


def refusal(account: Account, problem: ProtocolError) -> Reply:
    """The answer to what a peer did wrong, of which the account takes note."""
    account.errcode = problem.errcode
    account.error = problem.explanation.in_full
    reply = error_reply(problem.status, problem.errcode, str(problem))
    if isinstance(problem, LimitExceeded):
        headers = {"Retry-After": str(problem.retry_after)}
        reply = replace(reply, headers=headers)
    return reply


def error_reply(status: int, errcode: str, why: str) -> Reply:
    """An error in the form that Matrix gives all errors, its reason cut off if long."""
    reply = json_reply({"errcode": errcode, "error": why}, status)
    while len(reply.body) > _MAX_ERROR_BYTES:
        why = why[: len(why) * 3 // 4]
        reply = json_reply({"errcode": errcode, "error": f"{why}..."}, status)
    return reply

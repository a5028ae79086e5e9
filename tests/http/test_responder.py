"""What a coroutine returns or raises, as an answer."""

import pytest
import treq
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web._newclient import Request as ClientRequest
from twisted.web.http_headers import Headers

from homeserver import __version__
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Route, Router
from homeserver.protocol import errors
from homeserver.protocol.canonical_json import parse_object
from homeserver.protocol.errors import LimitExceeded, ProtocolError
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.http_connection import Connection, ask, at_root, request, site


async def greet(_: Request) -> Reply:
    """Answer with a greeting."""
    return json_reply({"hello": "wörld"})


def greet_at_once(_: Request) -> Reply:
    """Answer with a greeting, which needs no coroutine."""
    return json_reply({"hello": "wörld"})


def raising(error: Exception) -> Router:
    """A route whose answer fails."""

    async def fail(_: Request) -> Reply:
        raise error

    return at_root(GET=fail)


class Waiting(Router):
    """A route whose answer is there when the test says so."""

    def __init__(self) -> None:
        super().__init__([Route("GET", "/", self._wait)])
        self.results: list[Deferred[Reply]] = []

    async def _wait(self, _: Request) -> Reply:
        result: Deferred[Reply] = Deferred()
        self.results.append(result)
        return await result


def test_reply_is_json_of_known_length() -> None:
    """A reply goes out as JSON with its length, under our name, and not in chunks."""
    answer = ask(site(at_root(GET=greet)), "GET", "/")
    del answer.headers["date"]
    assert (answer.version, answer.status) == ("1.1", 200)
    assert answer.body == '{"hello":"wörld"}'.encode()
    assert answer.headers == {
        "server": f"homeserver/{__version__}",
        "content-type": "application/json",
        "content-length": "18",
    }


def test_reply_has_its_status_and_headers() -> None:
    """The status and the headers of a reply are those of the answer."""

    async def reply(_: Request) -> Reply:
        return Reply(b"{}", 202, {"Cache-Control": "no-store"})

    answer = ask(site(at_root(GET=reply)), "GET", "/")
    assert answer.status == 202
    assert answer.headers["cache-control"] == "no-store"


def test_answer_that_is_there_at_once() -> None:
    """What answers with nothing to wait for answers as a coroutine function does."""
    at_once, later = (site(at_root(GET=answer)) for answer in (greet_at_once, greet))
    one, other = ask(at_once, "GET", "/"), ask(later, "GET", "/")
    for answer in (one, other):
        del answer.headers["date"]
    assert one == other


def test_head_is_get_without_the_body() -> None:
    """HEAD gets the headers of GET, the length included, and no body."""
    root = site(at_root(GET=greet))
    get, head = ask(root, "GET", "/"), ask(root, "HEAD", "/")
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


ERRORS: list[tuple[type[ProtocolError], int, str]] = [
    (errors.NotJson, 400, "M_NOT_JSON"),
    (errors.BadJson, 400, "M_BAD_JSON"),
    (errors.InvalidParam, 400, "M_INVALID_PARAM"),
    (errors.BadAuthorization, 400, "M_UNAUTHORIZED"),
    (errors.Unauthorized, 401, "M_UNAUTHORIZED"),
    (errors.Forbidden, 403, "M_FORBIDDEN"),
    (errors.NotFound, 404, "M_NOT_FOUND"),
    (errors.Unrecognized, 404, "M_UNRECOGNIZED"),
    (errors.TooLarge, 413, "M_TOO_LARGE"),
]


@pytest.mark.parametrize(("error", "status", "errcode"), ERRORS)
def test_fault_of_a_peer(error: type[ProtocolError], status: int, errcode: str) -> None:
    """A peer's fault is answered with its status, its errcode and the reason."""
    answer = ask(site(raising(error("the reason"))), "GET", "/")
    assert answer.error == (status, errcode)
    assert answer.json["error"] == "the reason"
    assert "retry-after" not in answer.headers


def test_too_much_at_once() -> None:
    """Who asks for too much is told when to come again."""
    answer = ask(site(raising(LimitExceeded("the reason", retry_after=7))), "GET", "/")
    assert answer.error == (429, "M_LIMIT_EXCEEDED")
    assert answer.json["error"] == "the reason"
    assert answer.headers["retry-after"] == "7"


METHODS = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW"]


@pytest.mark.parametrize("method", METHODS)
def test_other_method(method: str) -> None:
    """A known path with another method is answered with the methods it has."""
    root = site(at_root(GET=greet))
    answer = ask(root, method, "/")
    assert answer.error == (405, "M_UNRECOGNIZED")
    assert answer.headers["allow"] == "GET"


def test_allow_names_all_methods() -> None:
    """`Allow` lists every method of a resource, in a fixed order."""
    root = site(at_root(PUT=greet, DELETE=greet))
    assert ask(root, "GET", "/").headers["allow"] == "DELETE, PUT"


def test_head_of_what_has_no_get() -> None:
    """HEAD of a resource without GET is another method."""
    answer = ask(site(at_root(PUT=greet)), "HEAD", "/")
    assert (answer.status, answer.headers["allow"]) == (405, "PUT")


@pytest.mark.parametrize("method", ["GET", "HEAD", *METHODS])
def test_resource_that_only_leads_on(method: str) -> None:
    """A resource without answers is an unknown route, whatever the method."""
    answer = ask(site(at_root()), method, "/")
    assert answer.status == 404
    assert "allow" not in answer.headers


PATHS: list[tuple[str, int]] = [
    ("/known", 200),
    ("/known/", 200),
    ("/known?x=y", 200),
    ("/kn%6Fwn", 200),
    ("/known//", 404),
    ("/known/below", 404),
    ("/known/below/", 404),
    ("/known%2F", 404),
    ("/", 404),
    ("//known", 404),
    ("/other", 404),
    ("/KNOWN", 404),
    ("/../known", 404),
    ("http://us.example/known", 200),
    ("HTTPS://us.example:8448/known?x=y", 200),
    ("http://us.example", 404),
    ("ftp://us.example/known", 404),
    ("xknown", 404),
    ("us.example:8448", 404),
    ("*", 404),
]


@pytest.mark.parametrize(("path", "status"), PATHS)
def test_paths(path: str, status: int) -> None:
    """A resource answers with and without a trailing slash, and nothing below it."""
    root = Router([Route("GET", "/known", greet)])
    answer = ask(site(root), "GET", path)
    assert answer.status == status
    if status == 404:
        assert answer.error == (404, "M_UNRECOGNIZED")


class FaultOfOursTests(SynchronousTestCase):
    """What is not a peer's fault."""

    def test_unexpected_error(self) -> None:
        """An unexpected error is logged, and the peer learns nothing of it."""
        answer = ask(site(raising(KeyError("secret"))), "GET", "/")
        self.assertEqual(answer.error, (500, "M_UNKNOWN"))
        self.assertNotIn(b"secret", answer.body)
        self.assertNotIn(b"KeyError", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_unexpected_error_on_the_way(self) -> None:
        """So it is where the check of the routes fails."""

        def fail(_: Request, __: str) -> None:
            raise KeyError("secret")

        answer = ask(site(Router([], fail)), "GET", "/")
        self.assertEqual(answer.error, (500, "M_UNKNOWN"))
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_errors_that_are_there_at_once(self) -> None:
        """What raises with nothing to wait for is answered in the same way."""
        for error, expected in [
            (errors.Forbidden("the reason"), (403, "M_FORBIDDEN")),
            (StoreUnavailable("/secret is full"), (503, "M_UNKNOWN")),
            (KeyError("secret"), (500, "M_UNKNOWN")),
        ]:

            def fail(_: Request, error: Exception = error) -> Reply:
                raise error

            answer = ask(site(at_root(GET=fail)), "GET", "/")
            self.assertEqual(answer.error, expected)
            self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_store_unavailable(self) -> None:
        """A store that cannot be used is a 503, without the reason of the disk."""
        answer = ask(site(raising(StoreUnavailable("/secret is full"))), "GET", "/")
        self.assertEqual(answer.error, (503, "M_UNKNOWN"))
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_answer_that_cannot_be_written(self) -> None:
        """An answer that HTTP cannot carry is logged."""

        async def reply(_: Request) -> Reply:
            return Reply(b"{}", headers={"X": "ö"})

        connection = Connection(site(at_root(GET=reply)))
        connection.send(request("GET", "/"))
        self.assertEqual(len(self.flushLoggedErrors(UnicodeEncodeError)), 1)

    def test_client_gone_before_the_answer(self) -> None:
        """An answer that nobody waits for any more is dropped without a word."""
        root = Waiting()
        connection = Connection(site(root))
        connection.send(request("GET", "/"))
        connection.lose()
        root.results[0].callback(json_reply({}))
        self.assertEqual(connection.answers(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_client_gone_before_the_error(self) -> None:
        """An error that nobody waits for is dropped as an answer is."""
        root = Waiting()
        connection = Connection(site(root))
        connection.send(request("GET", "/"))
        connection.lose()
        root.results[0].errback(errors.NotFound("nothing"))
        self.assertEqual(connection.answers(), [])
        self.assertEqual(self.flushLoggedErrors(), [])


class AgentTests(SynchronousTestCase):
    """What Twisted's own client makes of the answers."""

    def test_answer_comes_when_the_coroutine_is_done(self) -> None:
        """A client waits for the coroutine, and reads all of its answer."""
        root = Waiting()
        client = HTTP11ClientProtocol()
        address = IPv4Address("TCP", "192.0.2.1", 1)
        server = site(root).buildProtocol(address)
        pump = connect(
            server,
            FakeTransport(
                server, isServer=True, hostAddress=address, peerAddress=address
            ),
            client,
            FakeTransport(client, isServer=False),
        )
        headers = Headers({b"Host": [b"us.example"]})
        asked = client.request(ClientRequest(b"GET", b"/", headers, None))
        pump.flush()
        self.assertNoResult(asked)
        root.results[0].callback(json_reply({"done": True}))
        pump.flush()
        response = self.successResultOf(asked)
        body = self.successResultOf(treq.content(response))
        self.assertEqual(response.length, len(body))
        self.assertEqual(parse_object(body), {"done": True})

"""What is said of a request to another server that gets no answer."""

from collections.abc import Mapping

from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError, RequestNotSent
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)

from homeserver.net.cause import OURSELVES
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.response import ResponseTooLarge
from tests.support.manual_agent import BODY, LINK, PEER, ClientTestCase, Response
from tests.support.memory_tls_servers import start


class TransportTests(ClientTestCase):
    """What is said where there is no answer."""

    def said(self, problem: Exception) -> str:
        """What is said if the exchange fails so."""
        sent = self.send()
        self.agent.result.errback(Failure(problem))
        failure = self.failureResultOf(sent, Unreachable).value
        assert isinstance(failure, Unreachable)
        assert failure.destination == PEER
        [attempt] = failure.attempts
        before = "PUT /_matrix/federation/v1/send/1-2: "
        assert attempt.startswith(before), attempt
        return attempt.removeprefix(before)

    def test_words(self) -> None:
        """Whatever Twisted calls it, what happened is told in words."""
        lost = Failure(error.ConnectionLost())
        garbage = Failure(ParseError("wrong number of parts", b"220 ESMTP"))
        cases: Mapping[Exception, str] = {
            error.ConnectionDone(): "the peer ended the connection",
            error.ConnectionLost(): "the peer ended the connection",
            ResponseFailed([lost]): "the peer ended the connection",
            RequestTransmissionFailed([lost]): "the peer ended the connection",
            RequestGenerationFailed([lost]): "the peer ended the connection",
            RequestNotSent(): "RequestNotSent",
            defer.CancelledError(): "no answer in time",
            defer.TimeoutError(): "no answer in time",
            ResponseFailed([Failure(defer.CancelledError())]): "no answer in time",
            ResponseFailed([Failure(ResponseTooLarge("over 9 bytes"))]): "over 9 bytes",
            ResponseTooLarge("over 9 bytes"): "over 9 bytes",
            ResponseFailed([garbage]): "it is not HTTP: '220 ESMTP'",
        }
        for problem, words in cases.items():
            assert self.said(problem) == words

    def test_connection_is_told(self) -> None:
        """Where a request was sent that got no answer is told."""
        self.agent.is_connected = True
        sent = start(
            self.client.send_transaction(PEER, "1-2", BODY, exchange=self.told)
        )
        self.agent.result.errback(Failure(error.ConnectionLost()))
        problem = self.failureResultOf(sent, Unreachable).value
        assert isinstance(problem, Unreachable)
        [attempt] = problem.attempts
        assert attempt.startswith("peer.test:8448: 192.0.2.1: PUT /_matrix/")

    def test_reason(self) -> None:
        """The reason says whether the server had been verified."""
        for is_connected, reason, public in [
            (
                True,
                "no_answer",
                "peer.test:8448 gave no answer on a verified connection",
            ),
            (
                False,
                "not_verified",
                "no connection to peer.test:8448 could be verified",
            ),
        ]:
            self.setUp()
            self.agent.is_connected = is_connected
            fetched = start(self.client.fetch_keys_v2(PEER, OURSELVES))
            self.clock.advance(25)
            problem = self.failureResultOf(fetched, Unreachable).value
            assert isinstance(problem, Unreachable)
            assert problem.reason == reason
            assert problem.explanation.public == public
            assert "no answer in time" in problem.explanation.in_full

    def test_words_are_bounded(self) -> None:
        """However much nonsense a peer sends, what is told of it is one line."""
        garbage = Failure(ParseError("wrong number of parts", b"\0" * 16000))
        said = self.said(ResponseFailed([garbage]))
        assert len(said) < 200
        assert said.isprintable()

    def test_unreachable(self) -> None:
        """What the agent could not reach is told as the agent tells it."""
        sent = self.send()
        problem = Unreachable(PEER, ["peer.test:8448: cannot connect"])
        self.agent.result.errback(Failure(problem))
        assert self.failureResultOf(sent, Unreachable).value is problem

    def test_no_answer_in_time(self) -> None:
        """A minute after a request was begun, it is given up."""
        cancelled: list[object] = []
        self.agent.result = Deferred(cancelled.append)
        sent = start(
            self.client.send_transaction(PEER, "1-2", BODY, exchange=self.told)
        )
        self.clock.advance(59.9)
        self.assertNoResult(sent)
        assert cancelled == []
        self.clock.advance(0.1)
        failure = self.failureResultOf(sent, Unreachable)
        assert "no answer in time" in str(failure.value)
        assert len(cancelled) == 1

    def test_no_body_in_time(self) -> None:
        """A body that does not end is given up with its connection."""
        sent = self.send()
        response = Response(200, [b"{"], None)
        self.agent.result.callback((response, LINK))  # type: ignore[arg-type]
        self.clock.advance(60)
        failure = self.failureResultOf(sent, Unreachable)
        assert "no answer in time" in str(failure.value)
        assert response.transport.producerState == "stopped"

    def test_body_that_breaks_off(self) -> None:
        """A body that breaks off is no answer."""
        lost = ResponseFailed([Failure(error.ConnectionLost())])
        failure = self.failureResultOf(self.answer(200, b"{}", end=lost), Unreachable)
        assert "the peer ended the connection" in str(failure.value)

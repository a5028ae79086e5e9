"""The exchanges of responses that have not left when their connection ends."""

from collections.abc import Callable

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from homeserver.http.closing import EndedByRule
from homeserver.http.leaving import LeavingResponses
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from tests.support.tables import cases


class Holding:
    """A transport that passes nothing on."""

    def when_sent(self, _: Callable[[], object]) -> None:
        """As `twisted_private.when_sent`: never."""


@cases(
    "reason seen",
    [
        ("by a rule", EndedByRule("a rule: x"), (None, "rule", "a rule: x", False)),
        ("by the client", ConnectionDone(), (404, None, None, True)),
    ],
)
def test_a_response_that_has_not_left(reason: Exception, seen: object) -> None:
    """What a rule has kept back has no status, in the log and the metrics as well."""
    closed: list[Exchange] = []
    exchanges = Exchanges(Clock(), closed.append)
    exchanges.record = lambda _: None
    exchange = exchanges.open("request", "in", "GET")
    leaving = LeavingResponses(Holding())
    leaving.close(exchange, 404)
    assert closed == []
    leaving.end(Failure(reason), [])
    [ended] = closed
    assert (ended.status, ended.reason, ended.error, ended.is_gone) == seen

"""Rules: which requests they act on, and what they do to answers."""

from collections.abc import Awaitable
from random import Random
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.control.openapi import build_document
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Route
from homeserver.lab.record.match import Match
from homeserver.lab.routes.rules import rule_routes
from homeserver.lab.rules.rule import RuleBody
from homeserver.lab.rules.rules import ALL, Rules
from homeserver.lab.seed import Seed
from homeserver.net.exchange import Exchange
from homeserver.protocol.errors import BadJson, NotFound, ProtocolError, TooLarge
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import SigningKey
from tests.support.exchanges import SEND, exchange


class Keys:
    """Those of the lab's servers, here of any name."""

    def signing(self, server: str) -> list[SigningKey]:
        """One key for each name."""
        return [self.spare(server, KeyId("ed25519:a"))]

    def spare(self, server: str, key_id: KeyId) -> SigningKey:
        """A key for each name and ID."""
        return Seed("tests").signing_key(key_id, server)

    def policy(self, server: str) -> None:
        """None is a policy server."""


class Asked:
    """A request, as far as rules look at it."""

    def __init__(self, seen: Exchange) -> None:
        self.exchange = seen
        self.parameters = {"txnId": b"7"}


class Server:
    """A route of a server with rules, and how often it did its work."""

    def __init__(self, answer: dict[str, object] | None = None) -> None:
        self.clock = Clock()
        self._content = answer or {"pdus": {}}
        self.rules = Rules(self.clock, Random(1), Keys())
        self.done = 0
        self._answer = self.rules.wrap(Route("PUT", SEND, self._work))

    def _work(self, _: Request) -> Reply:
        self.done += 1
        return json_reply(self._content)

    def begin(self, **members: Any) -> list[Reply]:
        """Ask; the answer is in the list when it is there."""
        request = cast("Request", Asked(exchange(**members)))
        reply = self._answer(request)
        if isinstance(reply, Reply):
            return [reply]
        answers: list[Reply] = []

        async def wait(waiting: Awaitable[Reply]) -> None:
            answers.append(await waiting)

        Deferred.fromCoroutine(wait(reply))
        return answers

    def ask(self, **members: Any) -> int:
        """Ask; the status of the answer, which is there at once."""
        [reply] = self.begin(**members)
        return reply.status


def body(do: dict[str, object] | None = None, **members: Any) -> RuleBody:
    """A rule that answers 503, unless it is told to do something else."""
    return RuleBody(do or {"http.status": 503}, **members)


COUNTS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [503, 503, 503, 503, 503, 503]),
    ({"times": 2}, [503, 503, 200, 200, 200, 200]),
    ({"skip": 2}, [200, 200, 503, 503, 503, 503]),
    ({"every": 3}, [503, 200, 200, 503, 200, 200]),
    ({"skip": 1, "every": 2, "times": 2}, [200, 503, 200, 503, 200, 200]),
    ({"chance": 0.0}, [200, 200, 200, 200, 200, 200]),
]


@pytest.mark.parametrize(("members", "statuses"), COUNTS)
def test_a_rule_acts_as_often_as_it_says(
    members: dict[str, Any], statuses: list[int]
) -> None:
    """`times`, `skip`, `every` and `chance` leave some matches alone."""
    server = Server()
    rule = server.rules.add("a.test", body(**members))
    assert [server.ask() for _ in statuses] == statuses
    assert server.done == statuses.count(200)
    assert (rule.matched, rule.acted) == (6, statuses.count(503))


def test_chance_follows_from_the_random_numbers() -> None:
    """About half of many requests are hit, and the same ones again."""

    def statuses() -> list[int]:
        server = Server()
        server.rules.add("a.test", body(chance=0.5))
        return [server.ask() for _ in range(100)]

    assert 30 < statuses().count(503) < 70
    assert statuses() == statuses()


def test_only_its_own_server_has_a_fault() -> None:
    """Nothing of a rule reaches a server that it does not name."""
    server = Server()
    server.rules.add("a.test", body(match=Match(method="PUT")))
    assert server.ask() == 503
    assert server.ask(method="GET") == 200
    assert server.ask(server="b.test") == 200


def test_rules_of_all_servers_come_last() -> None:
    """The first rule acts, that of the server before those of all."""
    server = Server()
    server.rules.add(ALL, body({"http.status": 500}))
    server.rules.add("a.test", body({"http.status": 501}, times=1))
    assert [server.ask(), server.ask()] == [501, 500]
    assert server.ask(server="b.test") == 500


def test_also_lets_later_rules_act() -> None:
    """After a rule with `also`, the next one acts too."""
    server = Server()
    server.rules.add("a.test", body({"http.retry-after": 7}, also=True))
    server.rules.add("a.test", body({"http.status": 429}))
    server.rules.add("a.test", body({"http.status": 500}))
    [reply] = server.begin()
    assert (reply.status, reply.headers["Retry-After"]) == (429, "7")


def test_a_delay_comes_before_the_work() -> None:
    """The answer waits, and with it what the server does."""
    server = Server()
    server.rules.add("a.test", body({"http.delay": 2}))
    answers = server.begin()
    server.clock.advance(1.9)
    assert (answers, server.done) == ([], 0)
    server.clock.advance(0.2)
    assert ([reply.status for reply in answers], server.done) == ([200], 1)


def test_a_rule_finds_a_transaction_by_its_id() -> None:
    """The ID of the path is known before the server has read anything."""
    server = Server()
    server.rules.add("a.test", body(match=Match(txn_id="7")))
    assert server.ask(txn_id=None) == 503


def test_rules_end() -> None:
    """One rule is removed by its ID, or all of a server; others stay."""
    server = Server()
    first = server.rules.add("a.test", body({"http.status": 500}))
    server.rules.add("a.test", body())
    server.rules.add(ALL, body({"http.status": 504}))
    server.rules.remove("a.test", first.id)
    assert server.ask() == 503
    with pytest.raises(NotFound, match="no rule 1"):
        server.rules.remove("a.test", first.id)
    assert server.rules.clear("a.test") == 1
    assert server.ask() == 504


def test_rules_are_replaced_together() -> None:
    """A bad rule among new ones leaves the old ones in force."""
    server = Server()
    server.rules.add("a.test", body({"http.status": 500}))
    with pytest.raises(BadJson):
        server.rules.replace("a.test", [body(), body({"http.status": 1})])
    assert server.ask() == 500
    server.rules.replace("a.test", [body()])
    assert server.ask() == 503


BAD: list[tuple[dict[str, object], str]] = [
    ({}, "`do` has no fault in it"),
    ({"http.staus": 503}, "no fault 'http.staus'; known are .* did you mean"),
    ({"http.status": 99}, "200 to 599"),
    ({"http.status": "503"}, "a whole number"),
    ({"http.delay": -1}, "0 to 600 seconds"),
    ({"http.delay": True}, "a number of seconds"),
    ({"http.retry-after": 1.5}, "a whole number"),
    ({"keys.expired": 1}, "`keys.expired` is true"),
    ({"keys.expird": True}, "did you mean 'keys.expired'"),
    ({"keys.valid_until": -1}, "`keys.valid_until` is 0 to"),
    ({"keys.valid_until": "x"}, "`keys.valid_until` is a whole number"),
    ({"http.header": {}}, "`http.header` is an object of headers"),
    ({"http.header": {"a b": "c"}}, "has letters"),
    ({"http.header": {"a": "\n"}}, "printable ASCII"),
    ({"http.header": {"Content-Length": "1"}}, "a fault of its own"),
    ({"http.errcode": ""}, "`http.errcode` is a text"),
    ({"http.redirect": "a\r\nb"}, "printable ASCII"),
    ({"http.delay": 601}, "0 to 600 seconds"),
    ({"well-known.redirect": 0}, "1 to 100"),
    ({"dns.nxdomain": False}, "`dns.nxdomain` is true"),
    ({"dns.cname": "a b"}, "`dns.cname` is not a DNS name"),
    ({"dns.cname": 1}, "`dns.cname` is a DNS name"),
    ({"dns.answer": []}, "`dns.answer` has 1 to 100 records"),
    ({"dns.answer": [{"type": "A"}]}, "`dns.answer` is a list of records: .*value"),
    ({"dns.answer": [{"type": "A", "value": "x"}]}, "`dns.answer`: .*IPv4 address"),
    ({"dns.answer": [{"type": "X", "value": "x"}]}, "`dns.answer`: .*one of A, AAAA"),
    ({"dns.ttl": -1}, "`dns.ttl` is 0 to"),
    ({"dns.delay": "1"}, "`dns.delay` is a number of seconds"),
    ({"connection.reset": 1}, "`connection.reset` is true"),
    ({"connection.slow": 0}, "`connection.slow` is 1 to"),
    ({"connection.close-after": "x"}, "`connection.close-after` is a whole number"),
    ({"tls.certificate": "old"}, "`tls.certificate` is .*expired"),
    ({"tls.certificate": True}, "`tls.certificate` is .*expired"),
    ({"tls.version": "1.4"}, "`tls.version` is .*1.0"),
    ({"tls.version": True}, "`tls.version` is .*1.0"),
    ({"tls.alert": 256}, "`tls.alert` is true, or the number"),
    ({"tls.alert": False}, "`tls.alert` is true, or the number"),
    ({"tls.stal": True}, "did you mean 'tls.stall'"),
    ({"tls.client-certificate": "old"}, "`tls.client-certificate` is .*expired"),
    ({"tls.client-certificate": True}, "`tls.client-certificate` is .*expired"),
    ({"vary.trailing-slash": 1}, "`vary.trailing-slash` is true"),
]


@pytest.mark.parametrize(("do", "why"), BAD)
def test_a_bad_rule_is_refused(do: dict[str, object], why: str) -> None:
    """The error names the fault, and what its argument may be."""
    with pytest.raises(ProtocolError, match=why):
        Server().rules.add("a.test", RuleBody(do))


@pytest.mark.parametrize("name", ["RuleBody", "RuleView"])
def test_each_choice_of_matches_is_described(name: str) -> None:
    """The page of the control API says what each member leaves alone."""
    routes = rule_routes(Rules(Clock(), Random(1), Keys()), lambda name: name)
    document: Any = build_document(routes)
    members = document["components"]["schemas"][name]["properties"]
    for member in ("times", "skip", "every", "chance", "also"):
        assert members[member].get("description"), member


def test_rules_are_bounded() -> None:
    """A server has a thousand rules at most."""
    rules = Rules(Clock(), Random(1), Keys())
    for _ in range(1000):
        rules.add("a.test", body())
    with pytest.raises(TooLarge, match="1000 rules already"):
        rules.add("a.test", body())

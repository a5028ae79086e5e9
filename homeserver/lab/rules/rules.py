"""The rules of a lab: of each server, and of all of them.

Rules: the first rule that takes a request acts, a server's own rules before those of
all servers; after one with `also`, later ones may act too. A server without rules
answers as if there were none.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Collection, Sequence
from random import Random
from typing import get_args

from twisted.internet.interfaces import IReactorTime

from homeserver.http.reply import NO_REPLY, Reply, refusal
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route
from homeserver.lab.faults.fault import (
    Act,
    Case,
    Continue,
    Fault,
    KeyChain,
    Unanswered,
)
from homeserver.lab.faults.registry import ANSWER_FAULTS, FAULTS
from homeserver.lab.record.entry import Entry
from homeserver.lab.rules.rule import Rule, RuleBody
from homeserver.net.exchange import Exchange, Kind
from homeserver.protocol.canonical_json import parse_object
from homeserver.protocol.errors import BadJson, NotFound, ProtocolError, TooLarge

_MAX_RULES = 1000  # of one server; each is compared with each request

KINDS: Collection[Kind] = get_args(Kind)

ALL = ""
"""Stands for all servers."""


class Rules:
    """The rules that are in force, by the name of the server."""

    def __init__(
        self,
        clock: IReactorTime,
        random: Random,
        keys: KeyChain,
        kinds: Collection[Kind] = KINDS,
    ) -> None:
        """`kinds` are those of the exchanges on which rules can act here."""
        self._possible = kinds
        self._clock = clock
        self._keys = keys
        self._random = random
        self._rules: defaultdict[str, list[Rule]] = defaultdict(list)
        self._kinds: Counter[Kind] = Counter()
        self._last_id = 0

    @property
    def is_empty(self) -> bool:
        """Whether no rule is in force."""
        return not self._rules

    def concern(self, kind: Kind) -> bool:
        """Whether any rule in force acts on exchanges of a kind."""
        return self._kinds[kind] > 0

    def of(self, server: str) -> Sequence[Rule]:
        """The rules of a server, in their order."""
        return self._rules.get(server, ())

    def add(self, server: str, body: RuleBody) -> Rule:
        """Put a rule in force after the others; raises `BadJson` and `TooLarge`."""
        if len(self.of(server)) >= _MAX_RULES:
            raise TooLarge(f"there are {_MAX_RULES} rules already; delete some")
        self._check_kinds(body)
        rule = Rule(self._last_id + 1, body, self._random)
        self._last_id = rule.id
        self._rules[server].append(rule)
        self._kinds.update(rule.kinds)
        return rule

    def check(self, bodies: Sequence[RuleBody]) -> None:
        """Raise `BadJson` or `TooLarge` for what cannot be the rules of a server."""
        if len(bodies) > _MAX_RULES:
            raise TooLarge(f"there are more than {_MAX_RULES} rules")
        for body in bodies:
            body.check()
            self._check_kinds(body)

    def _check_kinds(self, body: RuleBody) -> None:
        for name in body.do:
            fault = FAULTS.get(name)
            if fault is not None and fault.kind not in self._possible:
                raise BadJson(f"`{name}` needs a name server, which only a lab has")

    def replace(self, server: str, bodies: Sequence[RuleBody]) -> Sequence[Rule]:
        """Put rules in force in place of the others; raises `BadJson`."""
        self.check(bodies)
        self.clear(server)
        return [self.add(server, body) for body in bodies]

    def remove(self, server: str, rule_id: int) -> None:
        """Let a rule end; raises `NotFound`."""
        found = [rule for rule in self.of(server) if rule.id == rule_id]
        if not found:
            raise NotFound(f"there is no rule {rule_id} here")
        self._end(server, found)

    def clear(self, server: str) -> int:
        """Let all rules of a server end; returns how many."""
        ended = self.of(server)
        self._end(server, ended)
        return len(ended)

    def _end(self, server: str, ended: Sequence[Rule]) -> None:
        for rule in ended:
            self._kinds.subtract(rule.kinds)
        ids = {rule.id for rule in ended}
        left = [rule for rule in self.of(server) if rule.id not in ids]
        if left:
            self._rules[server] = left
        else:
            self._rules.pop(server, None)

    def wrap(self, route: Route) -> Answer:
        """The answer of a route, with the rules in force."""

        def answer(request: Request) -> "Reply | Awaitable[Reply]":
            if self.is_empty:
                return route.answer(request)
            exchange = request.exchange
            named = request.parameters.get("txnId")
            if named is not None:  # the answer, which may not come to act, notes it too
                exchange.txn_id = named.decode("utf-8", "replace")
            rules = self.taking(exchange)
            if not rules:
                return route.answer(request)
            return self._act(rules, route, request)

        return answer

    def taking(self, exchange: Exchange) -> Sequence[Rule]:
        """The rules that act on an exchange, in their order; counts those that match.

        The exchange has the members by which rules match.
        """
        entry, found = Entry(0, exchange), list[Rule]()
        for rule in (*self.of(exchange.server), *self.of(ALL)):
            if rule.takes(entry):
                found.append(rule)
                if not rule.body.also:
                    break
        return found

    async def _act(
        self, rules: Sequence[Rule], route: Route, request: Request
    ) -> Reply:
        own: Reply | None = None

        async def work() -> Reply:
            nonlocal own
            try:
                reply = route.answer(request)
                own = reply if isinstance(reply, Reply) else await reply
            except ProtocolError as problem:  # so that faults change it, too
                own = refusal(request.exchange, problem)
            return own

        case = Case(request, self._clock, self._keys)
        go_on: Continue = work
        acting: list[str] = []
        for rule in reversed(rules):
            # Those that are named first act first, so they wrap the later ones.
            for name, argument in reversed(list(rule.faults.items())):
                fault = ANSWER_FAULTS.get(name)
                if fault is not None and fault.applies(request.exchange):
                    go_on = _wrapped(fault, argument, go_on, case)
                    acting.insert(0, name)
        try:
            reply = await go_on()
        except Unanswered:
            reply = NO_REPLY
        _note(request.exchange, reply, own, acting)
        return reply


def _is_error(reply: Reply) -> bool:
    return reply.status >= 400


def _errcode(reply: Reply) -> str | None:
    """The code in the body of an error, as it is sent; None if it has none."""
    if not _is_error(reply):
        return None
    try:
        errcode = parse_object(reply.body).get("errcode")
    except ProtocolError:
        return None
    return errcode if isinstance(errcode, str) else None


def _note(
    exchange: Exchange, reply: Reply, own: Reply | None, faults: Sequence[str]
) -> None:
    """Say in an exchange what faults made of the answer of the server, if it had one.

    Where that is an error, or nothing, and the request is right, they are the reason.
    """
    if reply is not own:
        exchange.errcode = _errcode(reply)
    is_unanswered = reply is NO_REPLY and exchange.reason is None
    if is_unanswered:
        exchange.reason = "rule"
    if is_unanswered or (_is_error(reply) and not (own and _is_error(own))):
        exchange.is_by_rule = True
        exchange.error = "a rule of the lab: " + ", ".join(faults)


def _wrapped(
    fault: Fault[Act], argument: object, go_on: Continue, case: Case
) -> Continue:
    async def act() -> Reply:
        return await fault.act(argument, go_on, case)

    return act

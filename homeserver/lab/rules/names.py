"""The rules of a lab at its name server.

Rules: as those of `rules`. A question is one about the server whose host or service it
names; the rules of all servers take every question.
"""

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from homeserver.lab.dns_server.server import Responder
from homeserver.lab.dns_server.zone import Question, Reply
from homeserver.lab.faults.fault import Fault
from homeserver.lab.faults.names import NAME_FAULTS, ContinueName, NameAct, NameCase
from homeserver.lab.rules.rule import Rule
from homeserver.lab.rules.rules import Rules
from homeserver.net.exchange import Direction, Exchange
from homeserver.protocol.identifiers import ServerName


class NameRules:
    """A responder with the rules that are in force."""

    def __init__(
        self,
        responder: Responder,
        rules: Rules,
        owner: Callable[[str], ServerName | None],
        clock: IReactorTime,
    ) -> None:
        """`owner` is the server that a name in a question belongs to."""
        self._responder = responder
        self._rules = rules
        self._owner = owner
        self._clock = clock

    def answer(self, question: Question) -> "Reply | Awaitable[Reply | None] | None":
        """As `Responder`."""
        if self._rules.is_empty:
            return self._responder(question)
        rules = self._rules.taking(self._exchange(question))
        return self._act(rules, question) if rules else self._responder(question)

    def _exchange(self, question: Question) -> Exchange:
        owner = self._owner(question.name)
        # Our own servers ask without a socket.
        direction: Direction = "in" if question.address else "out"
        exchange = Exchange("dns", direction, "", question.type, question.name)
        exchange.address = question.address.rpartition(":")[0].strip("[]")
        exchange.server = "" if owner is None else owner.name
        return exchange

    async def _look_up(self, question: Question) -> Reply | None:
        reply = self._responder(question)
        return reply if reply is None or isinstance(reply, Reply) else await reply

    async def _act(self, rules: Sequence[Rule], question: Question) -> Reply | None:
        case = NameCase(question, self._clock, self._look_up)

        async def look_up() -> Reply | None:
            return await self._look_up(question)

        go_on: ContinueName = look_up
        for rule in reversed(rules):
            for name, argument in reversed(list(rule.faults.items())):
                if name in NAME_FAULTS:
                    go_on = _wrapped(NAME_FAULTS[name], argument, go_on, case)
        return await go_on()


def _wrapped(
    fault: Fault[NameAct], argument: object, go_on: ContinueName, case: NameCase
) -> ContinueName:
    async def act() -> Reply | None:
        return await fault.act(argument, go_on, case)

    return act

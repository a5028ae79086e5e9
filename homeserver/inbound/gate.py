"""The gate of signed routes: the judgement of a request by its head.

Rules: a request with a body is judged here before that is read, so that most bad
requests are refused before their body is sent. Every refusal is recorded, with what the
peer has to change where that is found.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from homeserver.http.rate_limit import TokenBuckets
from homeserver.http.request import Request
from homeserver.inbound.authentication import failure_of
from homeserver.inbound.diagnoses import Diagnoses, Evidence
from homeserver.inbound.refusals import Refusals
from homeserver.protocol.diagnosis.hint import Hint, as_sentence
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName

# A body that fails authentication costs its client a token for each 16 KiB: reading and
# verifying ten megabytes takes 150 ms of CPU. So one client costs at most half a second
# at once and a hundredth of a core in the long run, and a server whose signatures are
# wrong still gets fifty refusals a second.
_TOKEN_BYTES = 16384
_UNPROVEN = 1000
_UNPROVEN_PER_SECOND = 50


def count_unproven(
    clock: IReactorTime,
    trusts: Callable[[str], bool] = lambda _: False,
    workers: int = 1,
) -> TokenBuckets:
    """The budgets of clients for bodies that fail authentication, for all our servers.

    The clients that `trusts` names have no limit. Each worker has its part.
    """
    size, rate = _UNPROVEN // workers, _UNPROVEN_PER_SECOND / workers
    return TokenBuckets(size, rate, clock, "unproven bodies", trusts)


class XMatrixGate:
    """Admits the requests to one of our servers, and records the refused ones."""

    def __init__(
        self,
        own_name: ServerName,
        refusals: Refusals,
        diagnoses: Diagnoses,
        unproven: TokenBuckets,
    ) -> None:
        """`unproven` is charged for the bodies that fail authentication."""
        self.own_name = own_name
        self._refusals = refusals
        self._diagnoses = diagnoses
        self._unproven = unproven

    def admit(self, request: Request) -> None:
        """Raise `ProtocolError` for a request whose head is not acceptable."""
        try:
            request.x_matrix.check(self.own_name)
            self._unproven.check(request.getClientAddress().host)
        except ProtocolError as problem:
            raise self.refuse(request, problem) from None

    def charge(self, address: str, length: int) -> None:
        """Charge a client for a body of so many bytes that proved nothing."""
        self._unproven.charge(address, 1 + length // _TOKEN_BYTES)

    def refuse(
        self,
        request: Request,
        problem: ProtocolError,
        evidence: Evidence | None = None,
    ) -> ProtocolError:
        """Record a refused request; returns the problem with what has to change.

        The hints on `evidence` are not known yet.
        """
        exchange = request.exchange
        if exchange.is_proven:
            exchange.reason = "content"
        else:
            exchange.peer = request.x_matrix.claimed_origin
            exchange.reason = failure_of(problem)
        exchange.hints = exchange.hints or self._diagnoses.of_head(
            request.x_matrix, self.own_name, problem
        )
        self._refusals.record(request, problem, evidence)
        return _with_hints(problem, exchange.hints)


def _with_hints(problem: ProtocolError, hints: Sequence[Hint]) -> ProtocolError:
    """The same problem, with hints at the end of its sentence."""
    if not hints:
        return problem
    said = as_sentence(hints)
    why = problem.explanation
    return type(problem)(why.public + said, why.in_full + said)

"""The runner: checks in parallel, each after its prerequisites.

Rules: a check is run once. It is not testable where a need is not met, where a
prerequisite did not pass, and where the target is gone. An exception of a check is an
error of ours and stops no other. Whatever happens, each check has a result.

Theory: workers take the first check whose prerequisites are over; those that wait for
time to pass begin first, so that the others run beside them. A check that is to be
alone waits until no other runs. After several checks without an answer in a row the
target is asked for its key document once; if there is none, it counts as gone.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from homeserver.conformance.check import Check, Severity
from homeserver.conformance.facts import Facts
from homeserver.conformance.ground import Ground
from homeserver.conformance.outcome import (
    NoAnswer,
    NotConnected,
    NotTestable,
    Outcome,
)
from homeserver.conformance.result import Result, Verdict, judge, result_of
from homeserver.conformance.target import Target
from homeserver.lab.record.views import ExchangeDetails, view_details
from homeserver.net.time_limit import within

_log = Logger()

_SUSPICIOUS = 3  # checks in a row without an answer
_PROBE_SECONDS = 15.0

_PATIENCE = 0.7  # of the time of a check, for one reply at most

_MAX_EXCHANGES = 100  # of one check in a report
_GOOD = ("pass", "info")


class Plan(Struct, frozen=True):
    """What to run."""

    checks: Sequence[Check]
    """In an order in which each comes after its prerequisites."""

    jobs: int = 6
    timeout: float | None = None
    """In place of each check's own limit, in seconds; what it waits for is added."""

    is_polite: bool = False
    """Whether checks of robustness are left out."""


class Runner:
    """One run of checks."""

    def __init__(
        self,
        plan: Plan,
        ground: Ground,
        facts: Facts,
        note: Callable[[Result], object] = lambda _: None,
    ) -> None:
        """`note` is called with each result as it comes."""
        self._plan = plan
        self._ground = ground
        self._facts = facts
        self._note = note
        self._waiting = sorted(plan.checks, key=lambda check: -check.waits)
        self._running: dict[str, Deferred[None]] = {}
        self._results: dict[str, Result] = {}
        self._silent = 0
        self._is_alone = False
        self.is_gone = False
        """Whether the target answers no more."""

    @property
    def results(self) -> Mapping[str, Result]:
        """The results so far, by ID."""
        return self._results

    async def run(self) -> None:
        """Run all checks to their end."""
        while self._waiting or self._running:
            self._begin_what_can()
            if self._running:
                await DeferredList(
                    [_shield(each) for each in self._running.values()],
                    fireOnOneCallback=True,
                )

    def stop(self, why: str) -> None:
        """Begin no check any more; those that are left are not testable."""
        left, self._waiting = self._waiting, []
        for check in left:
            self._end(check, "not-testable", Outcome(None, why))
        for check_id, running in list(self._running.items()):
            check = next(c for c in self._plan.checks if c.id == check_id)
            if check_id not in self._results:
                self._end(check, "not-testable", Outcome(None, why))
            running.cancel()

    def _begin_what_can(self) -> None:
        for check in list(self._waiting):
            if any(each not in self._results for each in check.after):
                continue
            why = self._hindrance(check)
            if why is not None:
                self._waiting.remove(check)
                self._end(check, "not-testable", Outcome(None, why))
                continue
            busy = len(self._running)
            if busy >= self._plan.jobs or self._is_alone or (check.is_alone and busy):
                continue
            self._waiting.remove(check)
            self._begin(check)
        if self._waiting and not self._running:
            # What was waited for came to an end in this pass.
            self._begin_what_can()

    def _begin(self, check: Check) -> None:
        self._is_alone = check.is_alone
        running = Deferred.fromCoroutine(self._run(check))
        if running.called:
            self._is_alone = False
            return
        self._running[check.id] = running

        def ended(_: object) -> None:
            self._running.pop(check.id, None)
            self._is_alone = False

        running.addBoth(ended)

    def _hindrance(self, check: Check) -> str | None:
        """Why a check cannot be run; None if it can."""
        if self.is_gone:
            return "the target answers no more"
        if self._plan.is_polite and check.severity is Severity.ROBUSTNESS:
            return "it is about robustness: --no-polite runs it"
        failed = [
            each for each in check.after if self._results[each].result not in _GOOD
        ]
        if failed:
            return f"it comes after {', '.join(failed)}, which did not pass"
        unmet = (each for each in check.needs if each.code in self._facts.unmet)
        need = next(unmet, None)
        if need is not None:
            return f"it needs {need.text}: {self._facts.unmet[need.code]}"
        return None

    async def _run(self, check: Check) -> None:
        clock = self._ground.clock
        limit = (self._plan.timeout or check.seconds) + check.waits
        # A target that hangs is found out before the check is given up.
        target = Target(self._ground, self._facts, _PATIENCE * limit)
        began = clock.seconds()
        try:
            verdict, outcome = await self._judged(check, target, limit)
        except defer.CancelledError:
            return  # by `stop`, which has its result
        if check.id not in self._results:
            seconds = clock.seconds() - began
            self._end(check, verdict, outcome, seconds, _exchanges(target))

    async def _judged(
        self, check: Check, target: Target, limit: float
    ) -> tuple[Verdict, Outcome]:
        """What came of a check; raises `CancelledError` alone."""
        try:
            outcome = await within(limit, self._ground.clock, _call(check, target))
        except NotTestable as problem:
            return "not-testable", Outcome(None, str(problem))
        except NoAnswer as problem:
            return await self._unanswered(check, problem)
        except defer.TimeoutError:
            why = f"not over within {limit:g} s; --timeout SECONDS allows more"
            return "error", Outcome(is_met=False, observed=why)
        except defer.CancelledError:
            raise
        except Exception as problem:  # noqa: BLE001 - a mistake of one check
            why = f"{type(problem).__name__}: {problem}"
            _log.failure("check {check} failed", check=check.id)
            return "error", Outcome(None, f"our own mistake: {why}")
        self._silent = 0
        return judge(check, outcome), outcome

    async def _unanswered(
        self, check: Check, problem: NoAnswer
    ) -> tuple[Verdict, Outcome]:
        """The verdict where a request got no answer."""
        is_gone = await self._has_gone()
        if is_gone or isinstance(problem, NotConnected):
            return "not-testable", Outcome(None, str(problem))
        outcome = Outcome(is_met=False, observed=str(problem), expected="an answer")
        return judge(check, outcome), outcome

    async def _has_gone(self) -> bool:
        """Whether the target answers nothing any more, after a check without answer."""
        self._silent += 1
        if self._silent >= _SUSPICIOUS and not self.is_gone:
            self._silent = 0
            self.is_gone = not await answers(self._ground, self._facts)
        return self.is_gone

    def _end(
        self,
        check: Check,
        verdict: Verdict,
        outcome: Outcome,
        seconds: float = 0.0,
        exchange: Sequence[ExchangeDetails] = (),
    ) -> None:
        result = result_of(check, verdict, outcome, seconds, exchange)
        self._results[check.id] = result
        self._note(result)


async def answers(ground: Ground, facts: Facts) -> bool:
    """Whether the target answers the simplest request, whatever it says."""
    probe = Target(ground, facts).send(
        "GET", "/_matrix/key/v2/server", seconds=_PROBE_SECONDS, takes_limit=True
    )
    try:
        await within(2 * _PROBE_SECONDS, ground.clock, probe)
    except (NoAnswer, defer.TimeoutError):
        return False
    return True


async def _call(check: Check, target: Target) -> Outcome:
    return await check.run(target)


def _exchanges(target: Target) -> Sequence[ExchangeDetails]:
    return [view_details(each) for each in target.exchanges()[:_MAX_EXCHANGES]]


def _shield(running: Deferred[None]) -> Deferred[None]:
    """Fires when `running` ends, and cancels it never."""
    over: Deferred[None] = Deferred(lambda _: None)

    def pass_on(result: object) -> object:
        if not over.called:
            over.callback(None)
        return result

    running.addBoth(pass_on)
    return over

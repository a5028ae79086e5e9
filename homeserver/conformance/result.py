"""The results of a run, as JSON has them.

Rules: the members are those that `docs/conformance.md` lists; others may be added, and
none is renamed.
"""

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from homeserver.conformance.check import Check, Severity
from homeserver.conformance.outcome import Outcome
from homeserver.lab.record.views import ExchangeDetails

Verdict = Literal["pass", "fail", "warn", "info", "not-testable", "error"]

VERDICTS: Sequence[Verdict] = ("fail", "error", "warn", "not-testable", "info", "pass")
"""The most urgent first."""


class Result(Struct, frozen=True, kw_only=True):
    """The result of one check."""

    id: str
    area: str
    severity: str
    result: Verdict
    rule: str
    section: str
    expected: str
    observed: str
    seconds: float
    exchange: Sequence[ExchangeDetails] = ()
    """All that went over the wire, oldest first."""


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole run."""

    target: str
    version: str
    """What the target says that it is."""

    spec: str
    checks: Sequence[Result]
    options: Sequence[str] = ()
    """Those of the command that say where the target is and what it has."""

    def repeat(self, check_id: str) -> str:
        """The command that makes a check once more."""
        options = [*self.options, "--only", check_id]
        return shlex.join(["homeserver", "conform", self.target, *options])

    def count(self, *verdicts: Verdict) -> int:
        """How many results are one of some verdicts."""
        return sum(1 for each in self.checks if each.result in verdicts)

    @property
    def counts(self) -> Counter[str]:
        """How many results there are of each verdict."""
        return Counter(each.result for each in self.checks)


def judge(check: Check, outcome: Outcome) -> Verdict:
    """The verdict on an outcome: its severity decides on what is not met."""
    if outcome.is_met is None or check.severity is Severity.INFO:
        return "info"
    if outcome.is_met:
        return "pass"
    return "fail" if check.severity is Severity.MUST else "warn"


def result_of(
    check: Check,
    verdict: Verdict,
    outcome: Outcome,
    seconds: float = 0.0,
    exchange: Sequence[ExchangeDetails] = (),
) -> Result:
    """The result of a check."""
    return Result(
        id=check.id,
        area=check.area,
        severity=check.severity.value,
        result=verdict,
        rule=check.rule,
        section=check.section,
        expected=outcome.expected,
        observed=outcome.observed,
        seconds=round(seconds, 3),
        exchange=exchange,
    )

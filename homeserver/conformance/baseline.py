"""An earlier report as the measure of a new one.

Rules: only what became worse counts against a target whose deviations are known. A
check that is not testable any more is worse than one that passed; a check that the
earlier report did not have is new, and neither better nor worse.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from homeserver.conformance.result import Report, Result, Verdict

_RANKS: Mapping[Verdict, int] = {
    "pass": 0,
    "info": 0,
    "not-testable": 1,
    "warn": 2,
    "fail": 3,
    "error": 3,
}


class BadBaseline(ValueError):
    """The file is not an earlier report in JSON."""


class _Earlier(Struct, frozen=True):
    id: str
    result: Verdict


class _EarlierReport(Struct, frozen=True):
    checks: list[_Earlier]


class Comparison(Struct, frozen=True):
    """What has changed, with the earlier verdict of each check."""

    worse: Sequence[tuple[Result, Verdict]]
    mended: Sequence[tuple[Result, Verdict]]
    new: Sequence[Result]
    """Those that the earlier report did not have, and that did not pass."""

    def lines(self) -> list[str]:
        """Each change in a line."""
        return [
            *(f"worse: {each.id}: {was} -> {each.result}" for each, was in self.worse),
            *(f"mended: {r.id}: {was} -> {r.result}" for r, was in self.mended),
            *(f"new: {each.id}: {each.result}" for each in self.new),
        ]


def load(path: Path) -> Mapping[str, Verdict]:
    """The verdicts of an earlier report by ID; raises `BadBaseline`."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=_EarlierReport)
    except OSError as problem:
        raise BadBaseline(f"--baseline: {path}: {problem.strerror}") from None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
        why = f"{path} is no report of --format json: {problem}"
        raise BadBaseline(f"--baseline: {why}") from None
    return {each.id: each.result for each in report.checks}


def compare(report: Report, earlier: Mapping[str, Verdict]) -> Comparison:
    """What has changed since an earlier report."""
    known = [(each, earlier[each.id]) for each in report.checks if each.id in earlier]
    return Comparison(
        [(r, was) for r, was in known if _RANKS[r.result] > _RANKS[was]],
        [(r, was) for r, was in known if _RANKS[r.result] < _RANKS[was]],
        [
            each
            for each in report.checks
            if each.id not in earlier and _RANKS[each.result]
        ],
    )

"""The runner: verdicts, prerequisites, needs, limits, and what runs beside what."""

import pytest
from twisted.internet.defer import Deferred

from homeserver.conformance.check import (
    USER,
    Check,
    CheckOptions,
    Run,
    Severity,
    check,
    info,
    must,
    robustness,
    should,
)
from homeserver.conformance.facts import Facts
from homeserver.conformance.outcome import (
    NotTestable,
    Outcome,
    expect,
    reported,
    unmet,
)
from homeserver.conformance.result import Verdict
from homeserver.conformance.runner import Plan, Runner
from homeserver.conformance.target import Target
from tests.support.conformance_stage import SOUND, Stage
from tests.support.eventually import HANGING_SECONDS
from tests.support.logged_errors import PlantedError
from tests.support.waiting import pause, wait


async def _good(_: Target) -> Outcome:
    return expect(True, "it is well")  # noqa: FBT003 - the one argument


async def _bad(_: Target) -> Outcome:
    return unmet("it is not well", wanted="that it is")


async def _choice(_: Target) -> Outcome:
    return reported("it is so")


async def _broken(_: Target) -> Outcome:
    raise PlantedError


async def _endless(_: Target) -> Outcome:
    await Deferred[None]()
    return reported()


async def _untestable(_: Target) -> Outcome:
    raise NotTestable("it cannot be seen")


def _make(check_id: str, severity: Severity, run: Run, **more: object) -> Check:
    options: CheckOptions = {"rule": "A rule.", **more}  # type: ignore[typeddict-item]
    return check(check_id, severity, "", **options)(run)


def run(
    stage: Stage, *checks: Check, facts: Facts | None = None, **plan: object
) -> Runner:
    """A run of some checks, to its end."""

    async def work() -> Runner:
        endpoint, ground = await stage.target(SOUND)
        try:
            await ground.find()
            runner = Runner(
                Plan(checks, **plan),  # type: ignore[arg-type]
                ground,
                facts or Facts(),
            )
            await runner.run()
            return runner
        finally:
            await endpoint.stop()

    return wait(work(), HANGING_SECONDS)


@pytest.mark.parametrize(
    ("severity", "run_check", "verdict"),
    [
        (must, _good, "pass"),
        (must, _bad, "fail"),
        (should, _bad, "warn"),
        (robustness, _bad, "warn"),
        (info, _bad, "info"),
        (must, _choice, "info"),
        (must, _broken, "error"),
        (must, _untestable, "not-testable"),
    ],
)
def test_severity_and_outcome_make_the_verdict(
    on_stage: Stage, severity: Severity, run_check: Run, verdict: Verdict
) -> None:
    """What is not met fails only where it must be met."""
    runner = run(on_stage, _make("Z01", severity, run_check))
    assert runner.results["Z01"].result == verdict


def test_one_cause_is_one_failure(on_stage: Stage) -> None:
    """What comes after a failure is not testable, and says after what."""
    runner = run(
        on_stage,
        _make("Z01", must, _bad),
        _make("Z02", must, _good, after=["Z01"]),
        _make("Z03", must, _good, after=["Z02"]),
        _make("Z04", must, _good),
    )
    assert {e.id: e.result for e in runner.results.values()} == {
        "Z01": "fail",
        "Z02": "not-testable",
        "Z03": "not-testable",
        "Z04": "pass",
    }
    assert "Z01" in runner.results["Z02"].observed


def test_a_need_that_is_not_met(on_stage: Stage) -> None:
    """The check is not testable, and says how it could be."""
    facts = Facts(unmet={USER.code: "name one by --user"})
    runner = run(on_stage, _make("Z01", must, _bad, needs=[USER]), facts=facts)
    assert runner.results["Z01"].result == "not-testable"
    assert "--user" in runner.results["Z01"].observed


def test_a_check_that_never_ends(on_stage: Stage) -> None:
    """It is given up after its time, and is an error of ours; others go on."""
    endless = _make("Z01", must, _endless, seconds=0.2)
    runner = run(on_stage, endless, _make("Z02", must, _good), jobs=1)
    assert runner.results["Z01"].result == "error"
    assert runner.results["Z02"].result == "pass"


def test_politeness_leaves_robustness_out(on_stage: Stage) -> None:
    """It could do harm to a server that somebody else runs."""
    runner = run(on_stage, _make("Z01", robustness, _bad), is_polite=True)
    assert runner.results["Z01"].result == "not-testable"


def test_what_is_alone_has_nothing_beside_it(on_stage: Stage) -> None:
    """Others run beside each other, as many as there are jobs."""
    running: set[str] = set()
    beside: list[set[str]] = []

    def noting(name: str) -> Run:
        async def note(_: Target) -> Outcome:
            running.add(name)
            beside.append(set(running))
            await pause(0.02)
            running.remove(name)
            return reported()

        return note

    checks = [_make(f"Z0{n}", must, noting(f"Z0{n}")) for n in range(1, 7)]
    alone = _make("Z09", must, noting("Z09"), is_alone=True)
    run(on_stage, *checks[:3], alone, *checks[3:], jobs=3)
    assert {"Z09"} in beside
    assert all(each == {"Z09"} for each in beside if "Z09" in each)
    assert max(map(len, beside)) == 3

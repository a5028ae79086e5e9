"""A run from its options to its report, in one process with the lab inside.

Rules: there is a report whatever happens once the target was found: interrupted, or
with a target that is gone, it has the results so far. Nothing is left running.
"""

import os
from collections.abc import Callable
from random import SystemRandom

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.posixbase import PosixReactorBase

from homeserver.app.discovery import build_discovery, build_lookups
from homeserver.app.process import process_reactor, raise_file_limit
from homeserver.app.signals import obey
from homeserver.conformance import preflight
from homeserver.conformance.check import SPECIFICATION, Check
from homeserver.conformance.facts import Facts
from homeserver.conformance.ground import Ground
from homeserver.conformance.leaving import leave_all
from homeserver.conformance.options import ConformOptions
from homeserver.conformance.outcome import NoAnswer
from homeserver.conformance.registry import all_checks, select, with_prerequisites
from homeserver.conformance.result import Report, Result
from homeserver.conformance.runner import Plan, Runner
from homeserver.conformance.setup import Setup
from homeserver.conformance.target import Target
from homeserver.lab.folder import Folder
from homeserver.lab.lab import Lab
from homeserver.lab.options import LabOptions
from homeserver.net.addresses import SocketAddress
from homeserver.net.interruptions import postponed, undo_at_end

_FILES = 10_000  # a listener for each name where the target asks no DNS of ours

_INTERRUPTED = "the run was interrupted"

_POLITE_SECONDS = 0.2  # between two requests to a server that somebody else runs


class Notes(Struct, frozen=True):
    """What is told while a run goes on."""

    looked: Callable[[Facts, int], object]
    """Takes what pre-flight found, and the number of checks."""

    ended: Callable[[Result], object]
    """Takes each result that will be in the report."""


class Ended(Struct, frozen=True):
    """How a run ended."""

    report: Report | None
    """None if the target was not reached."""

    why: str = ""
    is_gone: bool = False
    """Whether the target was not reached, or answered no more."""

    is_interrupted: bool = False


class Conformance:
    """One run."""

    def __init__(self, options: ConformOptions, reactor: PosixReactorBase) -> None:
        """Raises `UnknownCheck`, `ConfigError`, and `BadSetup`."""
        known = all_checks()
        self._options = options
        self._chosen = select(known, options.only, options.skip)
        self._checks = with_prerequisites(known, self._chosen)
        self._reactor = reactor
        self._setup = None
        if options.setup is not None:
            self._setup = Setup(options.setup, reactor, os.environ)
        self._folder = Folder(options.data)
        self._runner: Runner | None = None
        self._is_interrupted = False
        self._looking: Deferred[Facts] | None = None

    async def run(self, notes: Notes) -> Ended:
        """Run it from pre-flight to its report; raises `ConfigError`."""
        options = self._options
        lab = Lab(
            LabOptions(
                listen=options.listen,
                control=SocketAddress("127.0.0.1", 0),
                dns=options.dns,
                zone=options.zone,
                allow=options.allow,
                trust=options.trust,
                data=options.data,
            ),
            self._folder,
            self._reactor,
        )
        await lab.start()
        try:
            return await self._run(lab, notes)
        finally:
            await lab.stop()

    def close(self) -> None:
        """Remove the files, which the lab does only if it has started."""
        self._folder.remove()

    def interrupt(self) -> None:
        """Let the checks end now; the report has the results so far."""
        self._is_interrupted = True
        if self._runner is not None:
            self._runner.stop(_INTERRUPTED)
        elif self._looking is not None:
            self._looking.cancel()

    async def _look(self, ground: Ground) -> Facts:
        options = self._options
        await ground.find()
        if _polite(options, ground):
            ground.seconds_between = _POLITE_SECONDS
        return await preflight.look(
            ground,
            options.given,
            {need.code for check in self._checks for need in check.needs},
            self._setup,
        )

    async def _run(self, lab: Lab, notes: Notes) -> Ended:
        options = self._options
        ground = ground_of(lab, options)
        looking = self._looking = Deferred.fromCoroutine(self._look(ground))
        try:
            facts = await looking
        except NoAnswer as problem:
            return Ended(None, str(problem), is_gone=True)
        except Exception:
            if self._is_interrupted:
                return Ended(None, _INTERRUPTED, is_interrupted=True)
            raise
        is_polite = ground.seconds_between > 0
        wanted = {check.id for check in self._chosen}
        notes.looked(facts, len(wanted))

        def note(result: Result) -> None:
            if result.id in wanted:
                notes.ended(result)

        plan = Plan(self._checks, options.jobs, options.timeout, is_polite=is_polite)
        self._runner = Runner(plan, ground, facts, note)
        await self._runner.run()
        if not self._runner.is_gone:
            await leave_all(Target(ground, facts))
        return Ended(
            report_of(options, facts, self._runner, self._chosen),
            is_gone=self._runner.is_gone,
            is_interrupted=self._is_interrupted,
        )


def _polite(options: ConformOptions, ground: Ground) -> bool:
    wanted = options.is_polite
    return ground.is_public if wanted is None else wanted


def ground_of(lab: Lab, options: ConformOptions) -> Ground:
    """What the checks of a run stand on."""
    shared = lab.endpoint.parts.shared
    # The system's name servers: the lab's know the lab's names alone.
    resolver = build_discovery(
        shared.config,
        shared.trust,
        build_lookups(shared.config, shared.reactor, shared.exchanges),
        shared.reactor,
        SystemRandom(),
        shared.budgets,
    )
    return Ground(lab, resolver, options.target, options.target_address)


def report_of(
    options: ConformOptions, facts: Facts, runner: Runner, chosen: list[Check]
) -> Report:
    """The report on the checks that were asked for."""
    results = runner.results
    return Report(
        target=options.target.name,
        version=facts.version,
        spec=SPECIFICATION,
        checks=[results[each.id] for each in chosen if each.id in results],
        options=options.of_target,
    )


def run(options: ConformOptions, notes: Notes) -> Ended:
    """Run in this process until it is over, or SIGINT or SIGTERM.

    Raises `UnknownCheck`, `BadSetup` and `ConfigError`.
    """
    raise_file_limit(_FILES)
    reactor = process_reactor()
    with postponed():
        conformance = Conformance(options, reactor)
        undo_at_end(conformance.close)
    # Twisted's own handlers end the reactor before `start` where a signal is as early.
    ended = [Ended(None, _INTERRUPTED, is_interrupted=True)]
    failures: list[BaseException] = []

    def start() -> None:
        obey(reactor, conformance.interrupt, lambda: None)
        running = Deferred.fromCoroutine(conformance.run(notes))
        running.addCallbacks(ended.append, lambda f: failures.append(f.value))
        running.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    try:
        reactor.run()
    finally:
        conformance.close()
    for failure in failures:
        raise failure
    return ended[-1]

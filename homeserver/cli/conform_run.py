"""One run of the checks, from the command line to the report and the exit status.

Rules: as in `conform`, whose module loads this one.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import json
from msgspec.structs import replace

from homeserver.cli.options import fail
from homeserver.config.values import ConfigError, Log
from homeserver.conformance.baseline import BadBaseline, Comparison, compare, load
from homeserver.conformance.facts import Facts
from homeserver.conformance.formats.machines import as_junit, as_tap
from homeserver.conformance.formats.markdown import as_markdown
from homeserver.conformance.formats.page import as_html
from homeserver.conformance.formats.text import as_text
from homeserver.conformance.options import ConformOptions
from homeserver.conformance.preflight import Given
from homeserver.conformance.registry import UnknownCheck
from homeserver.conformance.result import Report, Result
from homeserver.conformance.run import Ended, Notes
from homeserver.conformance.run import run as run_checks
from homeserver.conformance.setup import BadSetup
from homeserver.lab.dns_server.records import parse_name
from homeserver.lab.options import DEFAULT_ALLOW
from homeserver.monitoring import log
from homeserver.net.addresses import AddressRange
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import ServerName

_NOT_REACHED = 3
_INTERRUPTED = 130  # as a shell reports SIGINT

FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": as_text,
    "junit": as_junit,
    "tap": as_tap,
    "html": as_html,
    "markdown": as_markdown,
    "json": lambda report: json.encode(replace(report, options=())).decode("utf-8"),
}


def run(
    target: ServerName,
    form: str,
    *,
    zone: str,
    baseline: Path | None,
    users: tuple[str, ...],
    rooms: tuple[str, ...],
    **told: Any,
) -> tuple[str | None, int]:
    """The report in a format, None if there is none; and the exit status."""
    # Our servers answer with errors where a check wants them to.
    log.begin(Log(level="error"), sys.stderr, quiet=["homeserver.http.request_log"])
    told["allow"] = told["allow"] or tuple(map(AddressRange.parse, DEFAULT_ALLOW))
    for option, each in _foreign(target, users, rooms):
        fail(2, f"{option} {each}: it is none of {target}, which was named as TARGET")
    try:
        earlier = None if baseline is None else load(baseline)
        options = ConformOptions(
            target=target,
            zone=parse_name(zone, member="--zone"),
            given=Given(users, rooms),
            **told,
        )
        ended = run_checks(options, _Progress().notes)
    except (ConfigError, InvalidParam, UnknownCheck, BadBaseline, BadSetup) as problem:
        fail(2, str(problem))
    report = ended.report
    if report is None:
        if ended.is_interrupted:
            print(f"{target}: {ended.why}", file=sys.stderr)
            return None, _INTERRUPTED
        place = "; --target-address HOST:PORT says where it is"
        print(
            f"{target} cannot be reached: {ended.why}"
            f"{'' if options.target_address else place}",
            file=sys.stderr,
        )
        return None, _NOT_REACHED
    comparison = None if earlier is None else compare(report, earlier)
    for line in [] if comparison is None else comparison.lines():
        print(line, file=sys.stderr)
    return FORMATS[form](report), _status_of(ended, report, comparison)


def _foreign(
    target: ServerName, users: Sequence[str], rooms: Sequence[str]
) -> list[tuple[str, str]]:
    """Users and aliases of other servers, of which a target has to say nothing."""
    aliases = [each for each in rooms if each.startswith("#")]
    named = [*(("--user", each) for each in users), *(("--room", a) for a in aliases)]
    return [each for each in named if each[1].partition(":")[2] != target.name]


def _status_of(ended: Ended, report: Report, comparison: Comparison | None) -> int:
    """The exit status of a run with a report."""
    if ended.is_interrupted:
        return _INTERRUPTED
    if ended.is_gone:
        return _NOT_REACHED
    if comparison is not None:
        return 1 if comparison.worse else 0
    return 1 if report.count("fail") else 0


class _Progress:
    """Tells on standard error how far a run is."""

    def __init__(self) -> None:
        self.notes = Notes(self._looked, self._ended)
        self._is_terminal = sys.stderr.isatty()
        self._count = self._done = self._failed = 0

    def _looked(self, facts: Facts, count: int) -> None:
        self._count = count
        for each in facts.advice:
            print(each, file=sys.stderr)

    def _ended(self, result: Result) -> None:
        self._done += 1
        self._failed += result.result == "fail"
        if self._is_terminal:
            end = "\n" if self._done == self._count else ""
            line = f"\r{self._done} of {self._count} checks, {self._failed} failed"
            print(f"{line}: {result.id:8}", file=sys.stderr, end=end, flush=True)

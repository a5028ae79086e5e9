"""A report on a server: all that is known of how it behaved towards one of ours.

Rules: nothing is asked of the server. Each check is passed, failed, remarked or not
known; a report is wrong if one has failed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from homeserver.control.peer_views import CheckView, PeerView, ReportView
from homeserver.control.peers import PeerBook
from homeserver.control.report_attempts import attempts_of, retry_checks, time_line
from homeserver.control.submit import Judgement, Spoiler
from homeserver.inbound.refusals import Refusals
from homeserver.inbound.request_counts import RequestCounts
from homeserver.net.wall_clock import wall_ts
from homeserver.outbound.transport.sightings import Sighting
from homeserver.protocol.diagnosis.hint import as_sentence
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.remarks import Remark
from homeserver.storage.behaviour import Behaviour, load_behaviour
from homeserver.storage.engine.interface import Database
from homeserver.storage.refusals import RecordedRefusal

_PAGE = 1000
_MAX_ATTEMPTS = 1000  # of the time line, the last ones


class Observed(Struct, frozen=True):
    """What one of our servers remembers of others since it was started."""

    sightings: Mapping[ServerName, Sighting]
    counts: RequestCounts
    spoiler: Spoiler | None = None
    """Has the answers of other servers to mistakes on purpose."""


class ReportBook:
    """Makes the reports of one of our servers."""

    def __init__(
        self,
        database: Database,
        own_name: ServerName,
        peers: PeerBook,
        refusals: Refusals,
        observed: "Observed",
        clock: IReactorTime,
    ) -> None:
        self._database = database
        self._own_name = own_name
        self._peers = peers
        self._refusals = refusals
        self._observed = observed
        self._clock = clock

    async def report(self, name: ServerName) -> ReportView:
        """The report on a server; without a check if nothing is known of it."""
        peer = await self._peers.describe(name)
        spoiler, own = self._observed.spoiler, self._own_name
        judgements = {} if spoiler is None else spoiler.judgements(own, name)
        behaviour = await load_behaviour(self._database, own, name, judgements)
        refused = await self._refused(name)
        attempts = attempts_of(behaviour, refused)
        now_ts = wall_ts(self._clock)
        checks = [
            *_sighting_checks(self._observed.sightings.get(name)),
            *_peer_checks(peer, now_ts, behaviour.rejected),
            *_mistake_checks(list(filter(None, judgements.values()))),
            *_request_checks(self._observed.counts.of(name)),
            *_transaction_checks(behaviour),
            *_refusal_checks(refused),
            *retry_checks(attempts, now_ts),
        ]
        is_wrong = any(each.outcome == "failed" for each in checks)
        return ReportView(
            name.name, is_wrong, checks, time_line(attempts[-_MAX_ATTEMPTS:])
        )

    async def _refused(self, name: ServerName) -> list[RecordedRefusal]:
        found: list[RecordedRefusal] = []
        after = 0
        while page := await self._refusals.after(after, name, _PAGE, 0):
            found += page
            after = page[-1].id
        return found


def together(name: ServerName, reports: Mapping[str, ReportView]) -> ReportView:
    """The reports of several of our servers on a server as one; by our names."""
    attempts = [
        replace(attempt, server=own)
        for own, report in reports.items()
        for attempt in report.attempts
    ]
    attempts.sort(key=lambda each: each.ts)
    return ReportView(
        name.name,
        any(report.is_wrong for report in reports.values()),
        [
            replace(check, server=own)
            for own, report in reports.items()
            for check in report.checks
        ],
        attempts[-_MAX_ATTEMPTS:],
    )


def _sighting_checks(sighting: Sighting | None) -> Iterator[CheckView]:
    if sighting is None:
        return
    route = sighting.route
    by = "its name" if route.srv_priority is None else "its SRV record"
    text = f"{by} leads to {route}; it was reached at {sighting.address}"
    yield CheckView("discovery", "passed", text)
    if sighting.tls is not None:
        text = ", ".join(filter(None, [sighting.tls.version, sighting.tls.cipher]))
        yield CheckView("TLS", "passed", text)
    if sighting.failure is not None:
        yield CheckView("identity", "failed", f"not verified: {sighting.failure}")
    elif sighting.problem is not None:
        text = f"{sighting.problem}; servers that know no key documents refuse it"
        yield CheckView("certificate", "remarked", text)
    else:
        yield CheckView("certificate", "passed", "it proves the name by itself")


def _peer_checks(
    peer: PeerView | None, now_ts: int, on_purpose: int = 0
) -> Iterator[CheckView]:
    """`on_purpose` of the rejected transactions have mistakes, so it is right."""
    if peer is None:
        return
    if peer.verified_by is not None:
        yield CheckView("verification", "passed", f"verified by {peer.verified_by}")
    ends = [key.valid_until_ts for key in peer.keys.values()]
    known = [each for each in ends if each is not None]
    if current := sum(each >= now_ts for each in known):
        text = _counted(current, "current key is", "current keys are") + " known"
        yield CheckView("keys", "passed", text)
    elif known:
        hours = (now_ts - max(known)) / 3_600_000
        text = f"every key expired; the last one {hours:.1f} h ago"
        yield CheckView("keys", "failed", text)
    if peer.failures:
        text = (
            "the last " + _counted(peer.failures, "delivery", "deliveries") + " failed"
        )
        yield CheckView(
            "deliveries", "failed", text, peer.failures, peer.last_error or ""
        )
    if (rejected := peer.rejected - on_purpose) > 0:
        text = _said(rejected, "transaction", "of ours ", "rejected")
        yield CheckView("rejections", "failed", text, rejected)


def _mistake_checks(judgements: Sequence[Judgement]) -> Iterator[CheckView]:
    """How it answered transactions of ours that are wrong on purpose."""
    right = [each for each in judgements if each.as_expected is True]
    wrong = [each for each in judgements if each.as_expected is False]
    as_right = "answered as by a right server"
    if right:
        text = _said(len(right), "wrong transaction", "of ours ", as_right)
        yield CheckView("mistakes on purpose", "passed", text, len(right))
    if wrong:
        text = _said(len(wrong), "wrong transaction", "of ours ", f"not {as_right}")
        name = "mistakes on purpose, answered wrongly"
        example = wrong[0].expected[0]
        yield CheckView(name, "failed", text, len(wrong), example)


def _request_checks(counts: Mapping[str, int]) -> Iterator[CheckView]:
    for kind, count in sorted(counts.items()):
        text = _said(count, "request", "", "authenticated since the start")
        yield CheckView(kind, "passed", text, count)


def _transaction_checks(behaviour: Behaviour) -> Iterator[CheckView]:
    arrivals = behaviour.arrivals
    if not arrivals:
        return
    text = _said(len(arrivals), "transaction", "", "accepted")
    yield CheckView("transactions", "passed", text, len(arrivals))
    for outcome, count in sorted(behaviour.outcomes.items()):
        is_bad = outcome in {"rejected", "redacted"}
        yield CheckView(
            f"PDUs {outcome}",
            "failed" if is_bad else "passed",
            _said(count, "PDU", "", outcome),
            count,
            behaviour.first_verdicts[outcome] if is_bad else "",
        )
    problems = [problem for each in arrivals for problem in each.problems]
    if problems:
        text = (
            _counted(len(problems), "problem", "problems") + " in accepted transactions"
        )
        yield CheckView("problems", "failed", text, len(problems), problems[0])
    yield from _remark_checks([r for each in arrivals for r in each.remarks])


def _remark_checks(remarks: Sequence[Remark]) -> Iterator[CheckView]:
    counts = Counter(each.code for each in remarks)
    for code, count in sorted(counts.items()):
        first = next(each.text for each in remarks if each.code == code)
        yield CheckView(
            code,
            "remarked",
            "remarked " + _counted(count, "time", "times"),
            count,
            first,
        )


def _refusal_checks(refused: Sequence[RecordedRefusal]) -> Iterator[CheckView]:
    # What failed for now, or by a rule of ours, is no mistake of the server's.
    lasting = [
        each
        for each in refused
        if each.status < 500 and each.status != 429 and each.reason != "rule"
    ]
    absent = [each for each in lasting if _is_absence(each)]
    if absent:
        text = _said(len(absent), "request", "", "about what is not here")
        example = _example(absent[0])
        yield CheckView("not found", "remarked", text, len(absent), example)
    wrong = [each for each in lasting if not _is_absence(each)]
    counts = Counter(each.reason for each in wrong)
    for reason, count in sorted(counts.items()):
        first = next(each for each in wrong if each.reason == reason)
        proven = "" if first.proven else " (its origin is only claimed)"
        yield CheckView(
            reason,
            "failed",
            _said(count, "request", "", "refused") + proven,
            count,
            _example(first) + as_sentence(first.hints or ()),
        )


def _is_absence(refusal: RecordedRefusal) -> bool:
    """Whether there was nothing to answer, which a server cannot know before."""
    return refusal.status == 404 and refusal.reason != "unknown_path"


def _example(refusal: RecordedRefusal) -> str:
    return f"{refusal.method} {refusal.path}: {refusal.status} {refusal.error}"


def _counted(number: int, one: str, many: str) -> str:
    """A number and the noun that agrees with it."""
    return f"{number} {one if number == 1 else many}"


def _said(number: int, noun: str, which: str, outcome: str) -> str:
    """How many of something had an outcome, as a sentence."""
    verb = "was" if number == 1 else "were"
    return f"{_counted(number, noun, f'{noun}s')} {which}{verb} {outcome}"

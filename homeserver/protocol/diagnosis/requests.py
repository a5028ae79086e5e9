"""Why the signature of a request does not verify.

Rules: the search ends with the first set of mistakes that explains the signature: one
mistake before two, the key that the header names before the others.

Specification: Server-server API, "Request Authentication".
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from homeserver.protocol.diagnosis.candidate_keys import (
    CandidateKey,
    KeyTrial,
    key_trials,
)
from homeserver.protocol.diagnosis.hint import Hint, clip
from homeserver.protocol.diagnosis.request_parts import (
    MAX_BODY_BYTES,
    Mistake,
    Parts,
    ReceivedRequest,
    content_missing,
    hints_on,
    mistakes_in,
    right_parts,
    write_parts,
)
from homeserver.protocol.diagnosis.search import LIMIT_US, Work
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.slices import Steps
from homeserver.protocol.xmatrix import Authorization

MAX_SIGNATURES = 2  # of one request; most have one

# Not looked for together with another mistake.
_RARE = frozenset(
    {
        "uri-missing",
        "uri-escapes",
        "uri-slash",
        "uri-url",
        "content-empty",
        "origin-missing",
        "names-exchanged",
        "extra-member",
        "content-alone",
        "content-numbers",
        "json-newline",
        "digest-signed",
    }
)

_OTHER_KEYS = 3  # that each mistake is tried with, beside the key of the header


def diagnose_request(
    request: ReceivedRequest,
    authorizations: Sequence[Authorization],
    keys: Sequence[CandidateKey],
) -> Steps[list[Hint]]:
    """What the origin has to change for its request to verify.

    `keys` are those of the origin, usable or not. Empty if a signature verifies as it
    should, if there is no key, or if the body is not JSON.
    """
    if not keys:
        return []
    unknown: list[Hint] = []
    searched = authorizations[:MAX_SIGNATURES]
    for authorization in searched:
        try:
            parts = right_parts(request, authorization.origin)
        except ProtocolError:
            return []
        yield
        work = Work(LIMIT_US // len(searched))
        found = yield from _search(request, authorization, parts, keys, work)
        if found is not None:
            return found
        unknown = unknown or _unknown(parts)
    return [] if _is_cut(request) else unknown


def _is_cut(request: ReceivedRequest) -> bool:
    """Whether the body is too large, so that what is found leaves it out."""
    return len(request.body) > MAX_BODY_BYTES


def _search(
    request: ReceivedRequest,
    authorization: Authorization,
    parts: Parts,
    keys: Sequence[CandidateKey],
    work: Work,
) -> Steps[list[Hint] | None]:
    """The hints of the mistakes that explain a signature; None if none do."""
    trials = key_trials(keys, authorization.key_id)
    mistakes = mistakes_in(request, authorization.origin, parts)
    cut = [content_missing()] if _is_cut(request) else []
    seen: set[tuple[int, bytes]] = set()
    for made, trial in _explanations(mistakes, trials):
        if work.is_over:
            break
        message = write_parts(parts, made)
        # Many mistakes change nothing in a given request.
        tried = hash(message), trial.verify_key.key
        is_new = tried not in seen
        seen.add(tried)
        if is_new and trial.verify_key.verify(message, authorization.signature):
            on_parts = [hint for each in made for hint in hints_on(parts, each)]
            return [*cut, *on_parts, *trial.hints]
        extra = sum(each.cost for each in made)
        count = work.try_one if is_new else work.hash_one
        if count(len(message), extra):
            yield
    return None


def _explanations(
    mistakes: Iterable[Mistake], trials: Sequence[KeyTrial]
) -> Iterator[tuple[Sequence[Mistake], KeyTrial]]:
    """The sets of mistakes to try, the most likely first."""
    claimed, *others = trials
    for trial in trials:
        yield (), trial
    made: list[Mistake] = []
    for mistake in mistakes:  # made one by one, as that may be costly
        made.append(mistake)
        yield (mistake,), claimed
    for mistake in made:
        for trial in others[:_OTHER_KEYS]:
            yield (mistake,), trial
    # The sum of both ranks, so that two common mistakes come before a rare one.
    ranked = _ranked(made)
    for one, other in sorted(combinations(range(len(ranked)), 2), key=sum):
        if not ranked[one].conflicts_with(ranked[other]):
            yield (ranked[one], ranked[other]), claimed


def _ranked(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """The first mistake of each kind, then the second of each, and no more."""
    ranks: list[list[Mistake]] = [[], []]
    counts: Counter[tuple[str, ...]] = Counter()
    for each in mistakes:
        if counts[each.codes] < len(ranks) and _RARE.isdisjoint(each.codes):
            ranks[counts[each.codes]].append(each)
        counts[each.codes] += 1
    return [each for rank in ranks for each in rank]


def _unknown(parts: Parts) -> list[Hint]:
    """The hint on a signature that no known mistake explains."""
    text = (
        "no known mistake explains the signature; compare the bytes that you sign with "
        "the expected ones, and the key with the published one"
    )
    expected = write_parts(parts, []).decode("utf-8")
    return [Hint("signature-unknown", text, None, clip(expected))]

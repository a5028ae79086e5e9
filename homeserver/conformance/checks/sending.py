"""O: what the target sends to a server of ours in a room, and when it sends it again.

Rules: another server of ours joins, and the target has to tell the first one. Checks
that wait have a room version of their own, so that they hear little of each other.
"""

from collections.abc import Sequence

from homeserver.conformance.audience import (
    ROUTE,
    Audience,
    gaps_between,
    in_room,
    is_one,
    items_in,
    txn_id,
)
from homeserver.conformance.check import check, must, robustness
from homeserver.conformance.gap_answers import MISSING, GapAnswers
from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.our_servers import taken
from homeserver.conformance.outcome import NotTestable, Outcome, expect, unmet
from homeserver.conformance.reply import no_failure
from homeserver.conformance.target import Target
from homeserver.conformance.their_events import (
    is_signed_by,
    keys_of_target,
    parsed,
)
from homeserver.conformance.their_requests import content_of, is_signed, problem_in
from homeserver.http.reply import Reply
from homeserver.lab.record.match import Match
from homeserver.lab.rules.rule import RuleBody
from homeserver.net.exchange import Exchange

_JOINING = "Server-server API, Joining Rooms"
_AUTHENTICATION = "Server-server API, Request Authentication"
_ROUTE = "Server-server API, PUT /_matrix/federation/v1/send/{txnId}"

_MAX_PDUS, _MAX_EDUS = 50, 100

_AGAIN_SECONDS = 55.0  # until what failed twice comes a third time
_CUT_SECONDS = 90.0  # until anything comes after an answer that was cut


def _rule(times: int, do: dict[str, object]) -> list[RuleBody]:
    """What is done to the first transactions."""
    return [RuleBody(do=do, match=Match(route=ROUTE), times=times)]


async def _told(audience: Audience) -> tuple[JoinedRoom, Sequence[Exchange]]:
    """A newcomer, and the transactions that tell of it; raises `NotTestable`."""
    newcomer = await audience.newcomer()
    found = await audience.told(newcomer.join.event_id)
    if not found:
        raise NotTestable("the target sends no join of others to a member of a room")
    return newcomer, found


@check("O01", must, _JOINING, **in_room("9"))
async def a_join(t: Target) -> Outcome:
    """A join is sent to the servers in the room, in a signed transaction."""
    keys, audience = await keys_of_target(t), await Audience.of(t, "9")
    newcomer = await audience.newcomer()
    found = await audience.told(newcomer.join.event_id)
    if not found:
        return unmet(t.seen(audience.ours), wanted="a transaction with the join")
    content = content_of(found[0])
    pdus, edus = (items_in(content, each) for each in ("pdus", "edus"))
    joins = [parsed(each, newcomer.version) for each in pdus]
    own_key = newcomer.ours.key.verify_key
    is_sound = any(
        join is not None
        and join.event_id == newcomer.join.event_id
        and join.content_hash_matches
        and is_signed_by(join, newcomer.ours.name, {own_key.key_id: own_key})
        for join in joins
    )
    problem = problem_in(found[0], t.name, keys)
    return expect(
        problem is None
        and is_sound
        and len(pdus) <= _MAX_PDUS
        and len(edus) <= _MAX_EDUS,
        problem or "the request verifies",
        f"{len(pdus)} PDUs and {len(edus)} EDUs",
        "the join as it was" if is_sound else "the join was changed",
        wanted="a request that verifies, with the join as its server signed it",
    )


@check("O02", must, _ROUTE, **in_room("2", 30.0))
async def again(t: Target) -> Outcome:
    """A transaction that was answered with 500 is sent again, as it was."""
    audience = await Audience.of(t, "2")
    t.instruct(audience.ours, rules=_rule(2, {"http.status": 500}))
    newcomer, _ = await _told(audience)
    sent = await audience.until_sent(3, _AGAIN_SECONDS)
    if len(sent) < 2:
        # It may pause for longer, but must not go on to what comes next.
        await audience.leave(newcomer)
        sent = await audience.until_sent(2)
    return expect(
        len(sent) > 1 and is_one(sent[:3]),
        f"{len(sent)} transactions, IDs {', '.join(map(txn_id, sent))}",
        f"after {gaps_between(sent)}",
        wanted="the same ID and the same bytes again",
    )


@check("O03", must, _ROUTE, **in_room("3", 5.0))
async def one_at_a_time(t: Target) -> Outcome:
    """No transaction is sent before the one before it was answered."""
    audience = await Audience.of(t, "3")
    audience.answer(taken, 3.0)
    first = await audience.newcomer()
    second = await audience.newcomer()
    await audience.leave(first)
    await audience.told(second.join.event_id)
    sent = await audience.until_sent(2)
    if len(sent) < 2:
        raise NotTestable(f"{len(sent)} transactions came: nothing had to wait")
    return expect(
        audience.most_at_once == 1,
        f"{len(sent)} transactions, {audience.most_at_once} at once at most",
        wanted="one at a time",
    )


@check("O04", must, _ROUTE, **in_room("11", 5.0))
async def refused_event(t: Target) -> Outcome:
    """An event for which the reply has an error is not sent again."""
    audience = await Audience.of(t, "11")

    audience.answer(audience.refuse)
    newcomer, _ = await _told(audience)
    # Another event comes after it, and must not bring it along.
    await audience.told(await audience.leave(newcomer))
    event_id = newcomer.join.event_id
    await t.until(lambda: len(audience.with_event(event_id)) > 1, 5.0)
    found = audience.with_event(event_id)
    return expect(len(found) == 1, f"sent {len(found)} times", wanted="sent once")


@check("O07", must, _ROUTE, **in_room("10", _CUT_SECONDS))
async def cut(t: Target) -> Outcome:
    """A transaction without a whole answer is sent again before any other one."""
    audience = await Audience.of(t, "10")
    t.instruct(audience.ours, rules=_rule(1, {"http.truncate": True}))
    newcomer, _ = await _told(audience)
    await audience.leave(newcomer)
    sent = await audience.until_sent(2, _CUT_SECONDS)
    if len(sent) < 2:
        shown = f"nothing more was sent for {_CUT_SECONDS:g} s"
        return unmet(shown, wanted="the same transaction")
    return expect(
        is_one(sent[:2]),
        f"IDs {', '.join(map(txn_id, sent[:3]))}, after {gaps_between(sent)}",
        wanted="the same ID and the same bytes",
    )


@check("O09", must, _AUTHENTICATION, **in_room("9"))
async def signed_requests(t: Target) -> Outcome:
    """All requests that the target makes of us name us, and verify with its key."""
    keys, audience = await keys_of_target(t), await Audience.of(t, "9")
    joined = audience.joined
    await _told(audience)
    missing = await joined.message("missing")
    t.instruct(joined.ours, answers=GapAnswers(joined, [missing]).answers)
    await joined.put(await joined.message("last", at=joined.after(missing)))
    await t.until(lambda: t.seen(joined.ours).at(MISSING, "POST"), 5.0)
    requests = [each for each in t.seen(joined.ours).requests if is_signed(each)]
    problems = [problem_in(each, t.name, keys) for each in requests]
    wrong = [each for each in problems if each is not None]
    return expect(
        bool(requests) and not wrong,
        f"{len(requests)} signed requests",
        *wrong[:3],
        wanted="requests that verify, signed for us",
    )


@check("O13", robustness, "", **in_room("12", 6.0))
async def no_json(t: Target) -> Outcome:
    """A reply that is no JSON costs nothing but the transaction."""
    audience = await Audience.of(t, "12")
    audience.answer(lambda _: Reply(b"not json"))
    await audience.newcomer()
    if not await audience.until_sent(1):
        raise NotTestable("the target sends no join of others to a member of a room")
    await audience.until_sent(2, 6.0)
    times = len(audience.sent)
    audience.answer(taken)
    outcome = no_failure(await t.ask(audience.ours))
    return expect(
        bool(outcome.is_met),
        outcome.observed,
        f"{times} transactions came within 6 s",
        wanted=outcome.expected,
    )

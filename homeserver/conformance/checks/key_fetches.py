"""M: how often the target comes for a key document of ours, and what it keeps of it."""

from homeserver.conformance.check import TRUSTED_NAME, check, info, must, should
from homeserver.conformance.checks.x_matrix import changed, written
from homeserver.conformance.ours import Ours, entries, old_entries
from homeserver.conformance.outcome import (
    NotTestable,
    Outcome,
    each_of,
    expect,
    reported,
)
from homeserver.conformance.reply import accepted, not_authenticated
from homeserver.conformance.target import Target
from homeserver.control.signed_parts import SignBody
from homeserver.http.reply import Reply
from homeserver.lab.servers.description import KeysBody
from homeserver.protocol.canonical_json import Json

_PUBLISHING = "Server-server API, Publishing Keys"
_ROUTE = "Server-server API, GET /_matrix/key/v2/server"

# A target may protect other servers by a pause between two fetches.
_NEW_KEY_MS = 12_000

_BEHIND_MS = 30_000  # that the clock of a target may be behind ours

_SHORT_MS = 2500  # how long a document is valid that runs out during a check


@check("M21", should, _ROUTE, needs=[TRUSTED_NAME])
async def kept(t: Target) -> Outcome:
    """A key document is kept: four requests make the target come once."""
    ours = t.server()
    replies = [await t.ask(ours) for _ in range(4)]
    fetches = len(t.seen(ours).key_requests)
    return expect(
        all(each.is_ok for each in replies) and fetches == 1,
        *replies,
        f"{fetches} fetches",
        wanted="four times status 200, and one fetch",
    )


_TWO_KEYS = KeysBody(ids=["ed25519:first", "ed25519:second"])


@check("M22", should, _PUBLISHING, needs=[TRUSTED_NAME], waits=_NEW_KEY_MS / 1000)
async def new_key(t: Target) -> Outcome:
    """A key that is new since the last fetch is fetched within 12 s."""
    ours = t.server(signing=_TWO_KEYS, keys=lambda each: each.document())
    first, second = ours.server.keys.signing
    known = await t.ask(ours, sign=SignBody(key_id=first))
    both = entries(ours.spare_key(first), ours.spare_key(second))
    t.instruct(ours, keys=lambda each: each.document(verify_keys=both))
    end = t.now_ts + _NEW_KEY_MS
    while True:
        reply = await t.ask(ours, sign=SignBody(key_id=second))
        if reply.is_ok or t.now_ts >= end:
            break
        await t.wait_until(min(end, t.now_ts + 1000))
    return each_of([("the first", accepted(known)), ("the new", accepted(reply))])


@check("M23", must, _PUBLISHING, needs=[TRUSTED_NAME], waits=3.0, seconds=120.0)
async def rotated(t: Target) -> Outcome:
    """A key that has become an old one proves nothing once its document has run out.

    It may prove requests for as long as the target's clock is behind ours.
    """
    fetched: list[int] = []

    def short(each: Ours) -> Json:
        fetched.append(each.now_ts)
        return each.document(valid_until_ts=fetched[0] + _SHORT_MS)

    ours = t.server(signing=_TWO_KEYS, keys=short)
    first, second = ours.server.keys.signing
    known = await t.ask(ours, sign=SignBody(key_id=first))
    if not known.is_ok:
        raise NotTestable(
            f"a document of {_SHORT_MS / 1000:g} s does not last: {known}; is the "
            "target's clock ahead?"
        )
    until = (fetched[0] if fetched else t.now_ts) + _SHORT_MS
    current = ours.spare_key(second)
    t.instruct(
        ours,
        keys=lambda each: each.document(
            verify_keys=entries(current),
            old_verify_keys=old_entries(until, each.key),
            signed_by=[current],
        ),
    )
    await t.wait_until(until + 500)
    while True:
        reply = await t.ask(ours, sign=SignBody(key_id=first))
        if not reply.is_ok or t.now_ts > until + _BEHIND_MS:
            return not_authenticated(reply)
        await t.wait_until(t.now_ts + 1000)


@check("M26", should, _ROUTE, needs=[TRUSTED_NAME])
async def first_at_once(t: Target) -> Outcome:
    """Twenty first requests at once make the target come once, and are all answered."""
    ours = t.server()
    replies = await t.all([t.ask(ours, takes_limit=True) for _ in range(20)])
    statuses = sorted({each.status for each in replies})
    fetches = len(t.seen(ours).key_requests)
    # Too many transactions of one server at once may be limited.
    return expect(
        set(statuses) <= {200, 429} and fetches == 1,
        f"statuses {statuses}, {fetches} fetches",
        wanted="status 200 or 429 each, and one fetch",
    )


@check("M24", info, _ROUTE, needs=[TRUSTED_NAME])
async def once_away(t: Target) -> Outcome:
    """After a fetch that failed, the next request is proven, or has to wait."""
    ours = t.server(keys=lambda _: Reply(b"{}", 500))
    first = await t.ask(ours)
    t.instruct(ours, keys=lambda each: each.document())
    return reported(first, await t.ask(ours))


@check("M25", info, _ROUTE, needs=[TRUSTED_NAME])
async def invented_keys(t: Target) -> Outcome:
    """How often the target comes for twenty keys that there are not."""
    ours = t.server()
    for number in range(20):
        header = written(changed(key=f"ed25519:invented{number}"))
        await t.ask(ours, authorization=header)
    return reported(f"{len(t.seen(ours).key_requests)} fetches")

"""N: what the target as a notary keeps of documents of ours, and when it asks again.

Rules: as those of `notary`.
"""

from homeserver.conformance.check import TRUSTED_NAME, check, must, should
from homeserver.conformance.notary_answers import Answer, ask_for, by_get
from homeserver.conformance.ours import KeyAnswer, Ours, entries
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.target import Target
from homeserver.http.reply import error_reply
from homeserver.protocol.canonical_json import Json

_GET = "Server-server API, GET /_matrix/key/v2/query/{serverName}"
_POST = "Server-server API, POST /_matrix/key/v2/query"
_QUERYING = "Server-server API, Querying Keys Through Another Server"
_ROUTE = "Server-server API, GET /_matrix/key/v2/server"
_HOUR_MS = 3600 * 1000


@check("N05", should, _ROUTE, needs=[TRUSTED_NAME], waits=2)
async def out_of_date(t: Target) -> Outcome:
    """The last document is given while the server cannot give a newer one."""
    until_ts = t.now_ts + 1500
    ours = t.server(keys=lambda o: o.document(valid_until_ts=until_ts))
    await ask_for(t, ours, minimum=t.now_ts)
    t.instruct(ours, keys=lambda _: error_reply(500, "M_UNKNOWN", "it is broken"))
    await t.wait_until(until_ts + 500)
    answer = await ask_for(t, ours, minimum=t.now_ts)
    return expect(answer.has(ours), answer, wanted="the document as it was")


def _longer_from_the_second() -> KeyAnswer:
    """A document that is valid for an hour, and from the second fetch on for a day."""
    fetches: list[None] = []

    def make(ours: Ours) -> Json:
        fetches.append(None)
        hours = 1 if len(fetches) == 1 else 24
        return ours.document(valid_until_ts=ours.now_ts + hours * _HOUR_MS)

    return make


@check("N06", should, _POST, needs=[TRUSTED_NAME])
async def fresher(t: Target) -> Outcome:
    """A server is asked again for a document that is valid for longer."""
    ours = t.server(keys=_longer_from_the_second())
    await ask_for(t, ours, minimum=t.now_ts)
    minimum = t.now_ts + 2 * _HOUR_MS
    return _is_fresh(t, ours, await ask_for(t, ours, minimum=minimum), minimum)


@check("N06b", should, _GET, needs=[TRUSTED_NAME])
async def fresher_by_get(t: Target) -> Outcome:
    """The same holds for minimum_valid_until_ts in the query string."""
    ours = t.server(keys=_longer_from_the_second())
    await ask_for(t, ours, minimum=t.now_ts)
    minimum = t.now_ts + 2 * _HOUR_MS
    return _is_fresh(t, ours, await by_get(t, ours, minimum), minimum)


def _is_fresh(t: Target, ours: Ours, answer: Answer, minimum: int) -> Outcome:
    times = [each.get("valid_until_ts") for each in answer.of(ours)]
    return expect(
        any(isinstance(each, int) and each >= minimum for each in times),
        answer,
        f"valid until {times}",
        t.seen(ours),
        wanted=f"a document that is valid until {minimum} or longer",
    )


@check("N07", should, _ROUTE, needs=[TRUSTED_NAME])
async def cached(t: Target) -> Outcome:
    """Three queries in a row cost the server one request."""
    ours = t.server()
    for _ in range(3):
        await ask_for(t, ours, minimum=t.now_ts)
    count = len(t.seen(ours).key_requests)
    return expect(count == 1, f"{count} requests", wanted="one request")


@check("N08", must, _QUERYING, needs=[TRUSTED_NAME])
async def later_forged(t: Target) -> Outcome:
    """A later document with a wrong signature does not replace the earlier one."""
    minimum = t.now_ts + 2 * _HOUR_MS
    ours = t.server(keys=lambda o: o.document(valid_until_ts=t.now_ts + _HOUR_MS))
    await ask_for(t, ours, minimum=t.now_ts)
    other = ours.spare_key("ed25519:other")
    stranger = ours.spare_key("ed25519:stranger")
    t.instruct(
        ours,
        keys=lambda o: o.document(verify_keys=entries(other), signed_by=[stranger]),
    )
    answer = await ask_for(t, ours, minimum=minimum)
    forged = [each for each in answer.of(ours) if other.key_id in answer.keys(each)]
    return expect(
        answer.has(ours) and not forged,
        answer,
        f"{len(forged)} with the forged key",
        wanted="the earlier document",
    )

"""O: what the target chooses about what it sends: pauses, headers, and old keys.

Rules: nothing here is wrong; a choice is reported.
"""

from homeserver.conformance.audience import Audience, gaps_between, in_room, txn_id
from homeserver.conformance.check import check, info
from homeserver.conformance.our_servers import taken
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Outcome, reported
from homeserver.conformance.target import Target
from homeserver.http.reply import Reply, error_reply
from homeserver.protocol.canonical_json import Json, encode, parse
from homeserver.protocol.errors import ProtocolError

_ROUTE = "Server-server API, PUT /_matrix/federation/v1/send/{txnId}"
_KEYS = "Server-server API, GET /_matrix/key/v2/server"

_LOOK_SECONDS = 8.0  # for what may come again

_FAILING_MS = 20_000

_VALID_MS = 10_000  # longer than a busy target takes to let a server in


async def _repeated(audience: Audience, reply: Reply) -> Outcome:
    """How often, and when, a transaction comes that is answered so."""
    audience.answer(lambda _: reply)
    await audience.newcomer()
    sent = await audience.until_sent(1)
    if not sent:
        return reported("no transaction came")
    first = txn_id(sent[0])
    await audience.until_sent(2, _LOOK_SECONDS)
    again = [each for each in audience.sent if txn_id(each) == first]
    audience.answer(taken)
    times = f"{len(again)} times in {_LOOK_SECONDS:g} s"
    return reported(f"sent {times}, after {gaps_between(again)}")


@check("O05", info, _ROUTE, **in_room("6", 10.0))
async def bad_request(t: Target) -> Outcome:
    """A transaction that was answered with 400 is sent again, or given up."""
    reply = error_reply(400, "M_UNKNOWN", "it is not taken")
    return await _repeated(await Audience.of(t, "6"), reply)


@check("O06", info, _ROUTE, **in_room("1", 10.0))
async def too_many(t: Target) -> Outcome:
    """After 429 with Retry-After, a transaction is sent again when it may be."""
    body = b'{"errcode":"M_LIMIT_EXCEEDED","error":"later","retry_after_ms":3000}'
    reply = Reply(body, 429, {"Retry-After": "3"})
    return await _repeated(await Audience.of(t, "1"), reply)


@check("O08", info, _ROUTE, **in_room("12", 30.0))
async def after_failures(t: Target) -> Outcome:
    """After failures, a request of a server ends the pause before it, or does not."""
    audience = await Audience.of(t, "12")
    audience.answer(lambda _: error_reply(500, "M_UNKNOWN", "it has failed"))
    await audience.newcomer()
    await audience.until_sent(1)
    await t.wait_until(t.now_ts + _FAILING_MS)
    audience.answer(taken)
    before = len(audience.sent)
    await t.ask(audience.ours)
    sent = await audience.until_sent(before + 1, _LOOK_SECONDS)
    came = len(sent) - before
    return reported(
        f"{before} transactions in {_FAILING_MS / 1000:g} s of failures",
        f"after our request {came} more in {_LOOK_SECONDS:g} s",
    )


@check("O11", info, _ROUTE, **in_room("9"))
async def headers(t: Target) -> Outcome:
    """A transaction has headers of the target's choice."""
    audience = await Audience.of(t, "9")
    await audience.newcomer()
    sent = await audience.until_sent(1)
    details = sent[0].details if sent else None
    names = [] if details is None else [name for name, _ in details.request.headers]
    return reported(", ".join(names) or "no transaction came")


@check("O12", info, "Appendices, Canonical JSON", **in_room("9"))
async def spelling(t: Target) -> Outcome:
    """The body of a transaction is canonical JSON, or another spelling of it."""
    audience = await Audience.of(t, "9")
    await audience.newcomer()
    sent = await audience.until_sent(1)
    details = sent[0].details if sent else None
    if details is None:
        return reported("no transaction came")
    body = details.request.body
    try:
        is_canonical = encode(parse(body)) == body
    except ProtocolError as problem:
        return reported(f"the body cannot be read: {problem}")
    return reported("canonical" if is_canonical else "spelled otherwise")


@check("O16", info, _KEYS, **in_room("11", _VALID_MS / 1000))
async def keys_end(t: Target) -> Outcome:
    """A server whose keys ended is sent what happens in a room, or is not."""
    until_ts = t.now_ts + _VALID_MS

    def document(ours: Ours) -> Json:
        return ours.document(valid_until_ts=until_ts)

    audience = await Audience.of(t, "11", t.server(keys=document))
    # From now on there is no key document that is valid.
    await t.wait_until(until_ts + 500)
    newcomer = await audience.newcomer()
    told = await audience.told(newcomer.join.event_id, _LOOK_SECONDS)
    reply = await t.ask(audience.ours)
    return reported(
        "told of a join" if told else "told of nothing", f"our own request: {reply}"
    )

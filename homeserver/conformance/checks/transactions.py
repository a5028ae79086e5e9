"""X: transactions, their limits, and repeated ones.

Rules: each transaction is of a fresh name and has a fresh ID unless the check is about
that.
"""

import base64
import json
from collections.abc import Callable

from homeserver.conformance.check import (
    TRUSTED_NAME,
    Check,
    Severity,
    check,
    info,
    must,
    robustness,
)
from homeserver.conformance.events import id_of, message, unknown_room
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Outcome, each_of, expect, reported
from homeserver.conformance.reply import Reply, accepted, no_failure, refused, status
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json

_ROUTE = "Server-server API, PUT /_matrix/federation/v1/send/{txnId}"
_LIMITS = "Server-server API, Transactions"
_STANDARDS = "Server-server API, API standards"
_CHECKS = "Server-server API, Checks performed on receipt of a PDU"
_SEND = "/_matrix/federation/v1/send/"

UNKNOWN_EDU = {"edu_type": "org.example.unknown", "content": {}}


def _raw(data: bytes) -> list[str]:
    return [f"raw:{base64.b64encode(data).decode('ascii')}"]


def pdus_of(reply: Reply) -> Json | None:
    """The verdicts of a reply, by event ID; None where it has none."""
    found = reply.json.get("pdus")
    return found if isinstance(found, dict) else None


async def put(t: Target, ours: Ours, content: object, txn_id: str = "") -> Reply:
    """Send a transaction, by default under a fresh ID."""
    return await t.request(
        ours, "PUT", _SEND + (txn_id or t.fresh("t")), content=content
    )


@check("X01", must, _ROUTE, needs=[TRUSTED_NAME])
async def empty(t: Target) -> Outcome:
    """An empty transaction is answered by 200 and an object `pdus`."""
    reply = await t.ask(t.server())
    return expect(
        reply.is_ok and pdus_of(reply) == {},
        reply,
        f"pdus {reply.json.get('pdus')!r}",
        wanted='status 200, "pdus": {}',
    )


@check("X02", must, _ROUTE, needs=[TRUSTED_NAME])
async def without_edus(t: Target) -> Outcome:
    """The member `edus` may be absent."""
    ours = t.server()
    content = t.transaction(ours)
    del content["edus"]
    return accepted(await put(t, ours, content))


def _edus(t: Target, ours: Ours, number: int) -> Json:
    return t.transaction(ours, edus=[UNKNOWN_EDU] * number)


def _pdus(t: Target, ours: Ours, number: int) -> Json:
    room_id = unknown_room(ours, t.fresh("room"))
    return t.transaction(ours, [message(ours, room_id, str(n)) for n in range(number)])


Make = Callable[[Target, Ours], object]
"""Makes the content of a transaction."""


def row(
    check_id: str,
    severity: Severity,
    section: str,
    rule: str,
    make: Make,
    judge: Callable[[Reply], Outcome],
) -> Check:
    """One transaction, and what its reply is to be."""

    async def run(t: Target) -> Outcome:
        ours = t.server()
        return judge(await put(t, ours, make(t, ours)))

    return check(check_id, severity, section, needs=[TRUSTED_NAME], rule=rule)(run)


def _without(member: str) -> Make:
    def make(t: Target, ours: Ours) -> Json:
        content = t.transaction(ours)
        del content[member]
        return content

    return make


def with_members(**members: object) -> Make:
    """A transaction with some members of its own."""
    return lambda t, ours: {**t.transaction(ours), **members}


TRANSACTIONS = [
    row(
        "X03",
        must,
        _LIMITS,
        "A transaction may have 100 EDUs.",
        lambda t, ours: _edus(t, ours, 100),
        accepted,
    ),
    row(
        "X04",
        must,
        _LIMITS,
        "A transaction with 101 EDUs is refused.",
        lambda t, ours: _edus(t, ours, 101),
        refused,
    ),
    row(
        "X05",
        must,
        _ROUTE,
        "An EDU of a type that the target does not know costs nothing.",
        with_members(edus=[UNKNOWN_EDU]),
        accepted,
    ),
    row(
        "X08",
        must,
        _STANDARDS,
        "A body that is JSON but no object is refused with 400.",
        lambda _, __: [],
        lambda reply: status(reply, 400),
    ),
    row(
        "X09",
        info,
        _ROUTE,
        "A transaction without `pdus` is accepted, or refused.",
        _without("pdus"),
        reported,
    ),
    row(
        "X10",
        info,
        _ROUTE,
        "A transaction without `origin_server_ts` is accepted, or refused.",
        _without("origin_server_ts"),
        reported,
    ),
    row(
        "X11",
        info,
        _ROUTE,
        "A transaction whose `origin` is another server is accepted, or refused.",
        with_members(origin="elsewhere.invalid"),
        reported,
    ),
    row(
        "X18",
        must,
        _LIMITS,
        "A transaction with 51 PDUs is refused.",
        lambda t, ours: _pdus(t, ours, 51),
        refused,
    ),
    row(
        "X19",
        must,
        _LIMITS,
        "A transaction may have 50 PDUs.",
        lambda t, ours: _pdus(t, ours, 50),
        accepted,
    ),
    row(
        "X25",
        robustness,
        "",
        "A body of 5 MB does not make the transaction fail.",
        with_members(edus=[{**UNKNOWN_EDU, "content": {"text": "x" * 60_000}}] * 84),
        no_failure,
    ),
]


@check("X06", must, _ROUTE, needs=[TRUSTED_NAME])
async def again(t: Target) -> Outcome:
    """The same transaction of the same ID is given the same reply."""
    ours, txn_id = t.server(), t.fresh("t")
    room_id = unknown_room(ours, t.fresh("room"))
    content = t.transaction(ours, [message(ours, room_id)])
    first, second = [await put(t, ours, content, txn_id) for _ in range(2)]
    return expect(
        first.is_ok and second.is_ok and first.json == second.json,
        f"first {first}, then {second}",
        "the same reply" if first.json == second.json else "another reply",
    )


@check("X07", must, _STANDARDS, needs=[TRUSTED_NAME])
async def not_json(t: Target) -> Outcome:
    """A body that is not JSON is refused with 400 M_NOT_JSON."""
    reply = await t.ask(t.server(), spoil=_raw(b'{"pdus": [], "edus'))
    return expect(
        (reply.status, reply.errcode) == (400, "M_NOT_JSON"),
        reply,
        wanted="status 400 M_NOT_JSON",
    )


@check("X20", info, _ROUTE, needs=[TRUSTED_NAME])
async def odd_ids(t: Target) -> Outcome:
    """Transaction IDs of 1,000 characters, and with escapes, are taken, or refused."""
    ours = t.server()
    ids = [t.fresh("t").ljust(1000, "x"), t.fresh("t") + "%2F%20%C3%A9"]
    replies = [await put(t, ours, t.transaction(ours), txn_id) for txn_id in ids]
    return reported(*replies)


@check("X21", info, _LIMITS, needs=[TRUSTED_NAME])
async def at_once(t: Target) -> Outcome:
    """Five transactions of a server at once are taken, or limited with 429."""
    ours = t.server()
    await t.ask(ours)
    replies = await t.all([t.ask(ours, takes_limit=True) for _ in range(5)])
    return reported(", ".join(sorted(str(each.status) for each in replies)))


@check("X22", must, _LIMITS, needs=[TRUSTED_NAME])
async def same_id_of_another(t: Target) -> Outcome:
    """A transaction ID belongs to its origin: that of another is another one."""
    txn_id = t.fresh("t")
    answers = []
    for _ in range(2):
        ours = t.server()
        pdu = message(ours, unknown_room(ours, t.fresh("room")))
        reply = await put(t, ours, t.transaction(ours, [pdu]), txn_id)
        foreign = (pdus_of(reply) or {}).keys() - {id_of(pdu)}
        outcome = expect(
            reply.is_ok and not foreign,
            reply,
            f"pdus {reply.json.get('pdus')!r}",
            wanted="status 200, and no event of another server",
        )
        answers.append((ours.name.name, outcome))
    return each_of(answers)


@check("X26", must, "Appendices, Signing JSON", needs=[TRUSTED_NAME])
async def other_spelling(t: Target) -> Outcome:
    """The body may be spelled in any way: its canonical form is what is signed."""
    ours = t.server()
    edu = {"edu_type": "org.example.unknown", "content": {"text": "\u00e9 \u2028 /"}}
    content = t.transaction(ours, edus=[edu])
    spelled = json.dumps(dict(reversed(content.items())), indent=3, ensure_ascii=True)
    data = spelled.replace("/", "\\/").encode("ascii")
    reply = await t.ask(ours, content=content, spoil=_raw(data))
    return accepted(reply)

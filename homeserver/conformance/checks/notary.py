"""N: the target as a notary, which gives the documents of names of ours.

Rules: queries need no signature. A target that knows none of the routes is no notary,
and nothing here can be tested.
"""

from collections.abc import Sequence
from urllib.parse import quote

from homeserver.conformance.check import (
    DEAD_ADDRESS,
    TRUSTED_NAME,
    check,
    info,
    must,
    robustness,
    should,
)
from homeserver.conformance.documents import is_signed, listed_keys, own_document
from homeserver.conformance.notary_answers import (
    Answer,
    ask,
    ask_for,
    by_get,
    given_soundly,
    patiently,
)
from homeserver.conformance.ours import KeyAnswer, Ours, entries
from homeserver.conformance.outcome import NotTestable, Outcome, expect, reported
from homeserver.conformance.reply import Reply, status
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json

_GET = "Server-server API, GET /_matrix/key/v2/query/{serverName}"
_POST = "Server-server API, POST /_matrix/key/v2/query"
_QUERYING = "Server-server API, Querying Keys Through Another Server"
_ROUTE = "Server-server API, GET /_matrix/key/v2/server"

_HOUR_MS = 3600 * 1000
_NAMES = 40  # more than a federation client asks for at once, fewer than any limit


@check("N01", must, _GET, needs=[TRUSTED_NAME])
async def by_name(t: Target) -> Outcome:
    """A notary that is asked for a server asks it, and signs its document as well."""
    ours = t.server()
    return given_soundly(t, ours, await by_get(t, ours))


@check("N01b", info, _GET, needs=[TRUSTED_NAME])
async def by_name_and_key(t: Target) -> Outcome:
    """The removed form with a key ID is answered as the other, or by 404."""
    ours = t.server()
    path = f"/_matrix/key/v2/query/{quote(ours.name.name, safe='')}/{ours.key.key_id}"
    return reported(await t.plain("GET", path))


@check("N01c", must, _POST, needs=[TRUSTED_NAME])
async def by_key_and_minimum(t: Target) -> Outcome:
    """A query names key IDs, each with the time at which it has to be valid."""
    ours = t.server()
    return given_soundly(t, ours, await ask_for(t, ours, minimum=t.now_ts))


@check("N01d", should, _POST, needs=[TRUSTED_NAME])
async def without_key_ids(t: Target) -> Outcome:
    """A query without key IDs is about all keys of the server."""
    ours = t.server()
    answer = await patiently(lambda: ask(t, {ours.name.name: {}}), 1)
    return given_soundly(t, ours, answer)


@check("N01e", must, _POST, needs=[TRUSTED_NAME])
async def without_minimum(t: Target) -> Outcome:
    """A query without minimum_valid_until_ts means the time of the query."""
    ours = t.server()
    return given_soundly(t, ours, await ask_for(t, ours))


@check("N02", must, _POST, needs=[TRUSTED_NAME])
async def two_names(t: Target) -> Outcome:
    """A query about two servers is answered with the documents of both."""
    pair = [t.server(), t.server()]
    answer = await ask_for(t, *pair, minimum=t.now_ts)
    wrong = [
        outcome
        for outcome in (given_soundly(t, ours, answer) for ours in pair)
        if not outcome.is_met
    ]
    return wrong[0] if wrong else expect(len(answer.documents) == 2, answer)


@check("N03", must, _POST)
async def no_names(t: Target) -> Outcome:
    """A query about no server is answered with no document."""
    answer = await ask(t, {})
    return expect(_is_empty(answer), answer, wanted="status 200, an empty list")


@check("N04", must, _QUERYING, needs=[TRUSTED_NAME, DEAD_ADDRESS])
async def unreachable(t: Target) -> Outcome:
    """A server that cannot be asked is left out of the answer."""
    answer = await ask(t, {t.refusing_name(): _any_key(t)})
    return expect(_is_empty(answer), answer, wanted="status 200, an empty list")


def _signed_by_another(ours: Ours) -> Json:
    return ours.document(signed_by=[ours.spare_key("ed25519:other")])


def _unsigned(ours: Ours) -> Json:
    return ours.document(signed_by=[])


def _of_another(ours: Ours) -> Json:
    return ours.document(server_name="other.invalid")


_WRONG: list[tuple[str, str, KeyAnswer]] = [
    ("N09", "that another key has signed", _signed_by_another),
    ("N10", "without signatures", _unsigned),
    ("N11", "of another server", _of_another),
]

WRONG_DOCUMENTS = [
    check(
        check_id,
        must,
        _QUERYING,
        needs=[TRUSTED_NAME],
        rule=f"A document {which} is not handed out.",
    )(lambda t, document=document: _is_not_given(t, document))  # type: ignore[misc]
    for check_id, which, document in _WRONG
]


async def _is_not_given(t: Target, document: KeyAnswer) -> Outcome:
    ours = t.server(keys=document)
    answer = await ask_for(t, ours, minimum=t.now_ts)
    if not t.seen(ours).key_requests:
        raise NotTestable("the target did not ask our server")
    return expect(_is_empty(answer), answer, wanted="status 200, an empty list")


@check("N12", info, _QUERYING, after=["K01"])
async def itself(t: Target) -> Outcome:
    """A notary that is asked for itself may give its own document."""
    keys = listed_keys(await own_document(t))
    criteria: Json = {"minimum_valid_until_ts": t.now_ts}
    return reported(await ask(t, {t.name.name: dict.fromkeys(keys, criteria)}))


@check("N13", must, "Appendices, Signing JSON", needs=[TRUSTED_NAME])
async def unknown_members(t: Target) -> Outcome:
    """Members that a notary does not know stay as they are, under both signatures."""
    strange: Json = {
        "org.example.unknown": {"\U0001f510 ключ": [1, None, "é\u2028"], "": -1},
        "old_verify_keys": {"rsa:1": {"key": "AAAA", "expired_ts": 1}},
    }
    ours = t.server(keys=lambda o: o.document(also=strange))
    answer = await ask_for(t, ours, minimum=t.now_ts)
    sound = given_soundly(t, ours, answer)
    if not sound.is_met:
        return sound
    [document, *_] = answer.of(ours)
    same = all(document.get(name) == value for name, value in strange.items())
    return expect(same, answer, wanted="each member as it was published")


@check("N14", info, "Appendices, Server Name")
async def no_name(t: Target) -> Outcome:
    """A text that is no server name is left out, or refused."""
    return reported(await ask(t, {"no name!": {}}))


async def _post(t: Target, body: bytes) -> Reply:
    headers = [("Content-Type", "application/json")]
    return await t.plain("POST", "/_matrix/key/v2/query", body, headers)


@check("N15", must, _POST, after=["N03"])
async def no_server_keys(t: Target) -> Outcome:
    """A query without server_keys is refused."""
    return status(await _post(t, b"{}"), 400)


@check("N16", must, "Server-server API, API standards", after=["N03"])
async def no_json(t: Target) -> Outcome:
    """A query that is no JSON is refused as M_NOT_JSON."""
    reply = await _post(t, b'{"server_keys":')
    is_met = reply.status == 400 and reply.errcode == "M_NOT_JSON"
    return expect(is_met, reply, wanted="status 400 M_NOT_JSON")


@check("N17", robustness, "", needs=[TRUSTED_NAME, DEAD_ADDRESS])
async def many_unreachable(t: Target) -> Outcome:
    """Forty servers that cannot be asked keep an answer for 30 s at most."""
    names: Json = {t.refusing_name(): _any_key(t) for _ in range(_NAMES)}
    answer = await ask(t, names, seconds=45)
    seconds = answer.reply.seconds
    return expect(answer.reply.is_ok and seconds < 30, answer, f"after {seconds:.1f} s")


@check("N18", should, _ROUTE, needs=[TRUSTED_NAME])
async def expired(t: Target) -> Outcome:
    """An expired document is given where there is none better: it is for old events."""
    ours = t.server(keys=lambda o: o.document(valid_until_ts=o.now_ts - _HOUR_MS))
    answer = await ask_for(t, ours, minimum=0)
    return expect(answer.has(ours), answer, wanted="the expired document")


@check("N19", info, _QUERYING, needs=[TRUSTED_NAME])
async def unpublished_key(t: Target) -> Outcome:
    """For a key that its server does not publish there is a document, or none."""
    ours = t.server()
    return reported(await ask(t, {ours.name.name: _any_key(t)}))


@check("N20", info, _ROUTE, needs=[TRUSTED_NAME])
async def two_keys_one_signature(t: Target) -> Outcome:
    """A document of two keys that one of them has signed is given, or not."""

    def both(ours: Ours) -> Json:
        return ours.document(verify_keys=entries(ours.key, ours.spare_key("ed25519:b")))

    ours = t.server(keys=both)
    answer = await ask_for(t, ours, minimum=t.now_ts)
    name, key = ours.name.name, ours.key.verify_key
    count = sum(is_signed(each, name, key) for each in answer.of(ours))
    return reported(answer, f"{count} with our signature")


def _any_key(t: Target) -> Json:
    return {"ed25519:a": {"minimum_valid_until_ts": t.now_ts}}


def _is_empty(answer: Answer) -> bool:
    listed: Sequence[Json] = answer.documents
    return answer.reply.is_ok and answer.is_list and not listed

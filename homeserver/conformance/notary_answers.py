"""Queries to the target as a notary, and what its answers have in them.

Specification: Server-server API, "Querying Keys Through Another Server".
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import quote

from msgspec import Struct

from homeserver.conformance.documents import (
    is_signed,
    listed_documents,
    listed_keys,
    own_document,
    usable_keys,
)
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NotTestable, Outcome, expect
from homeserver.conformance.reply import Reply
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json, encode

_PATH = "/_matrix/key/v2/query"
_ATTEMPTS = 3
_LATE_SECONDS = 1.0  # an answer without a wait takes a few milliseconds

_SECONDS = 40.0  # for an answer: the target may have to ask a server that is silent


class Answer(Struct, frozen=True):
    """What a notary answered, and its own document at that time."""

    reply: Reply
    own: Json
    notary: str

    @property
    def is_list(self) -> bool:
        """Whether it has a list of documents."""
        return isinstance(self.reply.json.get("server_keys"), list)

    @property
    def documents(self) -> Sequence[Json]:
        """All documents."""
        return listed_documents(self.reply.json)

    def count(self, minimum: int | None) -> int:
        """How many documents are valid until a time or longer."""
        times = [each.get("valid_until_ts") for each in self.documents]
        return sum(isinstance(each, int) and each >= (minimum or 0) for each in times)

    def of(self, ours: Ours) -> Sequence[Json]:
        """The documents of a server of ours."""
        name = ours.name.name
        return [each for each in self.documents if each.get("server_name") == name]

    def has(self, ours: Ours) -> bool:
        """Whether it has a document of a server of ours with its key."""
        return any(ours.key.key_id in self.keys(each) for each in self.of(ours))

    def keys(self, document: Json) -> Mapping[str, object]:
        """The keys that a document lists."""
        return listed_keys(document)

    def is_countersigned(self, document: Json) -> bool:
        """Whether the notary has signed a document with a key that it publishes."""
        keys = usable_keys(self.own).values()
        return any(is_signed(document, self.notary, key) for key in keys)

    def __str__(self) -> str:
        if not self.reply.is_ok:
            return str(self.reply)
        names = [str(each.get("server_name")) for each in self.documents]
        return f"{self.reply}, documents of {', '.join(names) or 'no server'}"


def given_soundly(t: Target, ours: Ours, answer: Answer) -> Outcome:
    """Whether a document of ours is given, under our signature and the notary's."""
    found = answer.of(ours)
    problems = ["it is not given"] if not found else []
    for each in found:
        if not is_signed(each, ours.name.name, ours.key.verify_key):
            problems.append("our signature does not verify")
        if not answer.is_countersigned(each):
            problems.append("the notary's signature does not verify")
    if not t.seen(ours).key_requests:
        problems.append("our server was not asked")
    return expect(
        answer.reply.is_ok and not problems,
        answer,
        *dict.fromkeys(problems),
        wanted="status 200, the document under both signatures",
    )


async def ask(t: Target, server_keys: Json, *, seconds: float = _SECONDS) -> Answer:
    """The answer to a query for several servers; raises `NotTestable`, `NoAnswer`."""
    body = encode({"server_keys": server_keys})
    headers = [("Content-Type", "application/json")]
    reply = await t.send("POST", _PATH, headers, body, seconds=seconds)
    return await _answer(t, reply)


async def ask_for(t: Target, *servers: Ours, minimum: int | None = None) -> Answer:
    """The answer to a query for servers of ours, each by the ID of its key."""
    criteria: Json = {}
    if minimum is not None:
        criteria["minimum_valid_until_ts"] = minimum
    named: Json = {each.name.name: {each.key.key_id: criteria} for each in servers}
    return await patiently(lambda: ask(t, named), len(servers), minimum)


async def by_get(t: Target, ours: Ours, minimum: int | None = None) -> Answer:
    """The answer to a query for one server, in the path."""
    path = f"{_PATH}/{quote(ours.name.name, safe='')}"
    if minimum is not None:
        path += f"?minimum_valid_until_ts={minimum}"

    async def once() -> Answer:
        return await _answer(t, await t.send("GET", path, seconds=_SECONDS))

    return await patiently(once, 1, minimum)


async def patiently(
    query: Callable[[], Awaitable[Answer]], wanted: int, minimum: int | None = None
) -> Answer:
    """The answer to a query, which is repeated while it comes late and incomplete.

    A notary may answer with what it has while a slow server has not answered yet.
    """
    for _ in range(_ATTEMPTS - 1):
        answer = await query()
        is_late = answer.reply.is_ok and answer.reply.seconds > _LATE_SECONDS
        if not is_late or answer.count(minimum) >= wanted:
            return answer
    return await query()


async def _answer(t: Target, reply: Reply) -> Answer:
    if reply.status in {404, 405} and reply.errcode == "M_UNRECOGNIZED":
        raise NotTestable(f"the target is no notary: {reply}")
    return Answer(reply, await own_document(t), t.name.name)

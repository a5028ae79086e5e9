"""The notary: key documents of other servers, with our signature.

Rules: a document is returned as its server made it, with our signature beside the
server's own. An expired document is returned if there is no newer one, as old events
need it. A server that does not answer is omitted; the query does not fail. A query
makes us connect to servers that the client names, so it is bounded: servers in a
query, queries of an address, connections at once, bytes of a response.

Specification: Server-server API, "Querying keys through another server".
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.identity.identity import Identity
from homeserver.keys.keyring import Keyring
from homeserver.net.bounded_map import SharedLimit
from homeserver.net.cache import MAX_ENTRIES, Cache
from homeserver.net.cause import Cause
from homeserver.net.cooperate import together
from homeserver.net.time_limit import within
from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.canonical_json import (
    Json,
    as_integer,
    as_object,
    encode,
    parse_object,
)
from homeserver.protocol.errors import MISSING, InvalidParam, TooLarge
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import MAX_VALIDITY_MS
from homeserver.protocol.key_entries import MAX_KEYS
from homeserver.protocol.signing import sign
from homeserver.storage.key_documents import DocumentStore, FetchedDocument

MAX_SERVERS = 100  # of one query; each may be a connection

_MAX_BODY_BYTES = 256 * 1024  # four times a hundred servers of a dozen keys
_MAX_ANSWER_BYTES = 4 * 1024 * 1024  # forty times a hundred usual documents

# Time for a server to answer. Clients ask several notaries and wait a few seconds for
# each; documents that are known already must arrive in that time.
_REFRESH_SECONDS = 3.0

# For so long, a key that its server does not list is not asked for again.
_UNLISTED_SECONDS = 60.0


class Query(Struct, frozen=True):
    """A query for the keys of one server."""

    server_name: ServerName
    key_ids: Mapping[str, int | None]
    """For each key ID, the `minimum_valid_until_ts`; empty for all keys."""

    minimum_valid_until_ts: int | None = None
    """For all keys, in milliseconds since 1970; None if missing."""


def parse_queries(body: bytes) -> list[Query]:
    """The queries in the body of a POST; raises `ProtocolError`."""
    if len(body) > _MAX_BODY_BYTES:
        raise TooLarge(f"the query is larger than {_MAX_BODY_BYTES} bytes")
    servers = as_object(parse_object(body).get("server_keys", MISSING), "`server_keys`")
    if len(servers) > MAX_SERVERS:
        raise TooLarge(f"the query names more than {MAX_SERVERS} servers")
    queries = []
    for text, wanted in servers.items():
        try:
            name = ServerName.parse(text)
        except InvalidParam:
            continue  # omitted, like any unknown server
        criteria_by_key = as_object(wanted, "a server's keys")
        if len(criteria_by_key) > 2 * MAX_KEYS:
            raise TooLarge(f"the query names more than {2 * MAX_KEYS} keys of {name}")
        key_ids = {
            key_id: _minimum(as_object(criteria, "a key's criteria"))
            for key_id, criteria in criteria_by_key.items()
        }
        queries.append(Query(name, key_ids))
    return queries


def parse_query(server_name: bytes, key_id: bytes, minimums: Sequence[bytes]) -> Query:
    """The query of a GET; an empty `key_id` means all keys.

    `minimums` are the values of `minimum_valid_until_ts`. Raises `InvalidParam`.
    """
    name = ServerName.parse(server_name.decode("ascii", "replace"))
    minimum = _parse_minimum(minimums)
    wanted = {key_id.decode("ascii", "replace"): minimum} if key_id else {}
    return Query(name, wanted, minimum)


def _minimum(criteria: Json) -> int | None:
    if "minimum_valid_until_ts" not in criteria:
        return None
    return as_integer(criteria["minimum_valid_until_ts"], "`minimum_valid_until_ts`")


def _parse_minimum(values: Sequence[bytes]) -> int | None:
    if not values:
        return None
    if len(values) > 1 or not values[0].isdigit() or len(values[0]) > 16:
        raise InvalidParam("`minimum_valid_until_ts` is not a time in milliseconds")
    return int(values[0])


class Notary:
    """Answers queries for other servers' keys."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        own_document: Callable[[], bytes],
        documents: DocumentStore,
        keyring: Keyring,
        clock: IReactorTime,
        unlisted: int | SharedLimit = MAX_ENTRIES,
    ) -> None:
        """`own_document` is our own version 2 document, in JSON.

        `unlisted` limits the keys that are remembered as not listed.
        """
        self._identity = identity
        self._own_document = own_document
        self._documents = documents
        self._keyring = keyring
        self._clock = clock
        self._unlisted: Cache[tuple[ServerName, str], None] = Cache(clock, unlisted)

    async def answer(self, queries: Sequence[Query], cause: Cause) -> bytes:
        """The response to queries, in JSON; unknown servers are omitted.

        Raises `StoreUnavailable`.
        """
        await together(self._prepare(query, cause) for query in queries)
        parts: list[bytes] = []
        left = _MAX_ANSWER_BYTES
        for query in queries:
            # Documents beyond the limit are omitted; usual ones never reach it.
            found = await self._find(query, left)
            parts += found
            left -= sum(map(len, found))
        return b'{"server_keys":[' + b",".join(parts) + b"]}"

    async def _prepare(self, query: Query, cause: Cause) -> None:
        """Fetch the keys of a server if the known documents are not sufficient."""
        name = query.server_name
        if name == self._identity().server_name:
            return
        if self._is_enough(await self._documents.documents(name), query):
            return
        refreshing = self._keyring.refresh(name, cause)
        # After the time-out the fetch continues for later queries.
        with suppress(defer.TimeoutError):
            is_fetched = await within(_REFRESH_SECONDS, self._clock, refreshing)
            if is_fetched:
                known = await self._documents.documents(name)
                for key_id in query.key_ids:
                    if not any(key_id in each.keys for each in known):
                        self._unlisted.keep((name, key_id), None, _UNLISTED_SECONDS)

    def _is_enough(self, known: Sequence[FetchedDocument], query: Query) -> bool:
        """Whether the known documents are sufficient for all keys of a query."""
        if not query.key_ids:
            return self._is_of_use(known, query.minimum_valid_until_ts)
        return all(
            self._unlisted.is_kept((query.server_name, key_id))
            or self._is_of_use([each for each in known if key_id in each.keys], minimum)
            for key_id, minimum in query.key_ids.items()
        )

    def _is_of_use(
        self, listing: Sequence[FetchedDocument], minimum: int | None
    ) -> bool:
        """Whether one of the documents is valid for long enough.

        Without a minimum, one must not have passed half of its lifetime.
        """
        if minimum is not None:
            return any(each.valid_until_ts >= minimum for each in listing)
        now_ts = wall_ts(self._clock)
        return any(now_ts < _half_life_ts(each) for each in listing)

    async def _find(self, query: Query, most: int) -> list[bytes]:
        """The best documents with the keys of a query, with our signatures.

        They have at most `most` bytes without our signatures.
        """
        identity = self._identity()
        name = query.server_name
        if name == identity.server_name:
            return [self._own_document()]
        best = _best(await self._documents.documents(name))
        chosen = {
            document.id: document
            for (key_id, _), document in best.items()
            if not query.key_ids or key_id in query.key_ids
        }
        found: list[bytes] = []
        for document in chosen.values():
            if document.length > most:
                continue
            most -= document.length
            read = await self._documents.read(document)
            if read is not None:
                found.append(encode(_countersign(read, name, identity)))
        return found


def _rank(document: FetchedDocument) -> tuple[int, int]:
    """Rank by validity, then by the time of the fetch."""
    return document.valid_until_ts, document.fetched_ts


def _best(
    known: Sequence[FetchedDocument],
) -> dict[tuple[str, object], FetchedDocument]:
    """The best document for each key, by its ID and bytes."""
    best: dict[tuple[str, object], FetchedDocument] = {}
    for document in sorted(known, key=_rank):
        best.update(dict.fromkeys(document.keys.items(), document))
    return best


def _countersign(document: Json, name: ServerName, identity: Identity) -> Json:
    """A document of the server `name` with our signatures beside its own.

    Unverified parts are removed: `unsigned`, and signatures of other servers.
    """
    signatures = as_object(document["signatures"], "`signatures`")
    signed = {k: v for k, v in document.items() if k != "unsigned"}
    signed["signatures"] = {name.name: signatures[name.name]}
    return sign(signed, identity.server_name, identity.signing_keys)


def _half_life_ts(document: FetchedDocument) -> float:
    """The time until which a document is returned without asking its server again.

    "The intermediate notary server should cache a response for half of its lifetime".
    """
    until = min(document.valid_until_ts, document.fetched_ts + MAX_VALIDITY_MS)
    return (document.fetched_ts + until) / 2

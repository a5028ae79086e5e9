"""What all our names have received, have refused and know of other servers, in pages.

Rules: nothing is changed here. A row comes with the name of ours that it belongs to.
The store may have rows of names that this process does not serve: these are left out.
IDs are in one order for all names, so an ID is a place in it for all of them together.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol, TypeVar

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor, Database
from homeserver.storage.known_peers import LISTED_IN
from homeserver.storage.pages import ListedTransaction, load_page
from homeserver.storage.refusals import RecordedRefusal, load_refusals
from homeserver.storage.retention import pruned_id


class _Numbered(Protocol):
    @property
    def id(self) -> int: ...


_T = TypeVar("_T", bound=_Numbered)

_Load = Callable[[Cursor, int], list[tuple[str, _T]]]
"""Loads rows with an ID above one, each with the name of ours."""

Rows = tuple[list[tuple[ServerName, _T]], int]
"""Rows, and the ID after which the next ones are."""

_EACH_PAIRS = " UNION ".join(
    f"SELECT * FROM (SELECT server_name, {column} AS name FROM {table}"  # noqa: S608 - ours
    f" WHERE (server_name, {column}) > (?, ?){condition}"
    f" ORDER BY server_name, {column} LIMIT ?) AS {table}_names"
    for table, column, condition in LISTED_IN
)
_PAIRS = f"{_EACH_PAIRS} ORDER BY server_name, name LIMIT ?"
_KNOWING = " UNION ".join(
    f"SELECT server_name FROM {table} WHERE {column} = ?{condition}"  # noqa: S608 - ours
    for table, column, condition in (
        *LISTED_IN,
        ("server_keys", "peer", ""),
        ("received_transactions", "origin", ""),
        ("refusals", "origin", ""),
    )
)


class AllNames:
    """Lists the rows of all our names."""

    def __init__(
        self, database: Database, serves: Callable[[ServerName], bool]
    ) -> None:
        """`serves` says whether this process serves a name, now."""
        self._database = database
        self._serves = serves

    async def received(
        self, after: int, origin: ServerName | None, limit: int
    ) -> Rows[ListedTransaction]:
        """Up to `limit` transactions with an ID above `after`, oldest first."""

        def load(cursor: Cursor, after: int) -> list[tuple[str, ListedTransaction]]:
            first = max(after, pruned_id(cursor))
            return load_page(cursor, None, first, origin, limit)

        found = await self._page(load, after)
        if found[0]:
            # Unsynced rows may be lost in a power cut, and their IDs reused.
            await self._database.settle()
        return found

    async def refused(
        self, after: int, origin: ServerName | None, limit: int
    ) -> Rows[RecordedRefusal]:
        """Up to `limit` refusals with an ID above `after`, oldest first."""

        def load(cursor: Cursor, after: int) -> list[tuple[str, RecordedRefusal]]:
            return load_refusals(cursor, None, after, origin, limit)

        return await self._page(load, after)

    async def known(
        self, after: tuple[str, str], limit: int
    ) -> list[tuple[ServerName, ServerName]]:
        """Up to `limit` pairs of a name of ours and a peer that it knows, in order."""
        found: list[tuple[ServerName, ServerName]] = []
        while len(found) < limit:

            def job(
                cursor: Cursor, after: tuple[str, str] = after
            ) -> list[tuple[str, str]]:
                first = (*after, limit)
                parameters = (*first * len(LISTED_IN), limit)
                return cursor.execute(_PAIRS, parameters).fetchall()

            pairs = await self._database.read(job)
            if not pairs:
                break
            after = (pairs[-1][0], pairs[-1][1])
            parsed = [(ServerName.parse(a), ServerName.parse(b)) for a, b in pairs]
            found += [pair for pair in parsed if self._serves(pair[0])]
        return found[:limit]

    async def knowing(
        self, peer: ServerName, others: Collection[ServerName] = ()
    ) -> list[ServerName]:
        """Our names that know a peer or that it has sent something to, and `others`."""

        def job(cursor: Cursor) -> list[tuple[str]]:
            parameters = (peer.name,) * _KNOWING.count("?")
            return cursor.execute(_KNOWING, parameters).fetchall()

        rows = await self._database.read(job)
        names = {*(ServerName.parse(name) for (name,) in rows), *others}
        return [name for name in sorted(names, key=str) if self._serves(name)]

    async def _page(self, load: _Load[_T], after: int) -> Rows[_T]:
        """The next rows of our names, past those of others."""
        while True:
            rows = await self._database.read(partial(_loaded, load, after))
            if not rows:
                return [], after
            after = rows[-1][1].id
            named = [(ServerName.parse(owner), row) for owner, row in rows]
            found = [each for each in named if self._serves(each[0])]
            if found:
                return found, after


def _loaded(load: _Load[_T], after: int, cursor: Cursor) -> list[tuple[str, _T]]:
    return load(cursor, after)

"""The device lists of other servers' users, as one of our names has them.

Rules: one change of a list is one commit, made from the list that is stored then, so
that none is lost where several processes take in updates. A reply to a fetch brings a
list up to date only if no update has made it necessary to fetch again since the
question (`KnownDevices.wanted_by`). The lists of the users of each server, and all
together, have a bounded number and size; beyond that those go whose last change is the
oldest.
"""

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from homeserver.protocol.device_lists import DeviceList
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.storage.engine.interface import Cursor, Database
from homeserver.storage.oldest_rows import forget_oldest

MAX_OF_ONE = (500, 10_000_000)  # lists and bytes, of the users of one server
MAX_OF_ALL = (2000, 40_000_000)

_ROW_BYTES = 500  # beside the devices
_TABLE = "device_lists"


class KnownDevices(Struct, frozen=True):
    """What is known of the devices of a user."""

    user: UserId
    devices: DeviceList | None = None
    """As they were told last; None before that."""

    problem: str | None = None
    """Why they are not up to date; None if they are."""

    wanted_by: str = ""
    """Which updates made it necessary to fetch them: a random name."""


Change = Callable[[KnownDevices | None], KnownDevices | None]
"""What is known of a user after a change, given what was before; None for nothing.

It may be called again, and does nothing else.
"""


class DeviceListStore:
    """The device lists of other servers' users that one of our names has."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def change(self, user: UserId, change: Change) -> KnownDevices | None:
        """Change what is known of a user; returns what is known then.

        Raises `StoreUnavailable`, and what `change` raises.
        """
        own = self._server_name.name

        def job(cursor: Cursor) -> KnownDevices | None:
            row = cursor.execute(
                "SELECT user_id, devices, problem, wanted_by FROM device_lists"
                " WHERE server_name = ? AND user_id = ? FOR UPDATE",
                (own, user.user_id),
            ).fetchone()
            before = None if row is None else _known(*row)
            after = change(before)
            if after == before:
                return after
            if after is None:
                _delete(cursor, own, user.user_id)
                return None
            _put(cursor, own, after)
            peer = user.server_name.name
            forget_oldest(cursor, _TABLE, " AND peer = ?", (own, peer), MAX_OF_ONE)
            forget_oldest(cursor, _TABLE, "", (own,), MAX_OF_ALL)
            return after

        return await self._database.write(job)

    async def find(self, user: UserId) -> KnownDevices | None:
        """What is known of a user, which may have half a megabyte."""

        def job(cursor: Cursor) -> KnownDevices | None:
            row = cursor.execute(
                "SELECT user_id, devices, problem, wanted_by FROM device_lists"
                " WHERE server_name = ? AND user_id = ?",
                (self._server_name.name, user.user_id),
            ).fetchone()
            return None if row is None else _known(*row)

        return await self._database.read(job)

    async def users(self) -> list[UserId]:
        """The users of whom anything is known, in the order of their IDs."""

        def job(cursor: Cursor) -> list[UserId]:
            rows = cursor.execute(
                "SELECT user_id FROM device_lists WHERE server_name = ?"
                " ORDER BY user_id",
                (self._server_name.name,),
            ).fetchall()
            return [UserId.parse(user_id) for [user_id] in rows]

        return await self._database.read(job)

    async def forget(self, users: Iterable[UserId]) -> None:
        """Forget what is known of some users."""
        forgotten = [each.user_id for each in users]

        def job(cursor: Cursor) -> None:
            for each in forgotten:
                _delete(cursor, self._server_name.name, each)

        if forgotten:
            await self._database.write(job)


def _delete(cursor: Cursor, own: str, user_id: str) -> None:
    cursor.execute(
        "DELETE FROM device_lists WHERE server_name = ? AND user_id = ?",
        (own, user_id),
    )


def _put(cursor: Cursor, own: str, known: KnownDevices) -> None:
    [last] = cursor.execute(
        "SELECT COALESCE(MAX(number), 0) FROM device_lists WHERE server_name = ?",
        (own,),
    ).fetchone()
    devices = None
    if known.devices is not None:
        devices = msgspec.json.encode(known.devices).decode("utf-8")
    user_id, peer = known.user.user_id, known.user.server_name.name
    length = _ROW_BYTES + len(devices or "")
    cursor.execute(
        "INSERT INTO device_lists"
        " (server_name, user_id, number, peer, devices, problem, wanted_by, length)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (server_name, user_id) DO UPDATE SET number = excluded.number,"
        " devices = excluded.devices, problem = excluded.problem,"
        " wanted_by = excluded.wanted_by, length = excluded.length",
        (own, user_id, last + 1, peer, devices, known.problem, known.wanted_by, length),
    )


def _known(
    user_id: str, devices: str | None, problem: str | None, wanted_by: str
) -> KnownDevices:
    return KnownDevices(
        UserId.parse(user_id),
        None if devices is None else msgspec.json.decode(devices, type=DeviceList),
        problem,
        wanted_by,
    )

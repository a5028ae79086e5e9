"""Tables whose oldest rows give way, beyond so many and so many bytes.

Rules: a table has a `length`, in bytes, and a `number` that is unique among the rows of
one of our names: the oldest row has the lowest. Both are read from an index alone.
"""

from homeserver.storage.engine.interface import Cursor

Most = tuple[int, int]
"""Rows and bytes."""


def forget_oldest(
    cursor: Cursor, table: str, condition: str, names: tuple[str, ...], most: Most
) -> None:
    """Delete the oldest rows beyond the most.

    `condition` says which rows of one of our names are counted, `names` has that name
    and then the values of the condition.
    """
    max_rows, max_bytes = most
    count, length = cursor.execute(
        f"SELECT COUNT(*), COALESCE(SUM(length), 0) FROM {table}"  # noqa: S608 - ours
        f" WHERE server_name = ?{condition}",
        names,
    ).fetchone()
    if count <= max_rows and length <= max_bytes:
        return
    rows = cursor.execute(
        f"SELECT number, length FROM {table}"  # noqa: S608 - ours
        f" WHERE server_name = ?{condition} ORDER BY number",
        names,
    ).fetchall()
    for number, row_length in rows:
        if count <= max_rows and length <= max_bytes:
            return
        cursor.execute(
            f"DELETE FROM {table} WHERE server_name = ? AND number = ?",  # noqa: S608 - ours
            (names[0], number),
        )
        count, length = count - 1, length - row_length

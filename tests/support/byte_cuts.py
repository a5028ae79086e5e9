"""How bytes may come: all at once, or one by one."""

from collections.abc import Callable


def whole(data: bytes) -> list[bytes]:
    """All at once."""
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    """One byte at a time."""
    return [data[i : i + 1] for i in range(len(data))]


Cut = Callable[[bytes], list[bytes]]
CUTS = [whole, byte_by_byte]

"""Locks that several processes of one endpoint share.

Rules: a lock is one process's at a time, however often that takes it, and ends with the
process. Within a process something else has to keep order.
"""

from typing import Protocol


class Locks(Protocol):
    """Locks that other processes take as well."""

    def take(self, key: str) -> bool:
        """Take a lock; whether no other process has it."""
        ...

    def release(self, key: str) -> None:
        """Release a lock that this process has."""
        ...

"""Request bodies in memory and on disk, counted by client.

Rules: each byte of a body counts from its arrival until its request is answered. When
there is no room for another byte, a request of the client that holds the most bytes is
answered with 503: the arriving one, or the newest one whose body has not been read. So
one client cannot keep out the bodies of others.
"""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from typing import IO, cast

from homeserver.net.bounds import Bound
from homeserver.net.networks import subscriber_of
from homeserver.protocol.errors import Overloaded

# Of one body; more of it goes to a temporary file. Most transactions have less.
_IN_MEMORY = 65536

# Of all bodies; beyond it, those that arrive go to files. Thousands of connections may
# each have the start of a body; an honest crowd has a hundred of them at a time.
_ALL_IN_MEMORY = 16 * 2**20

_RETRY_SECONDS = 5  # about the time in which bodies arrive, or are processed


class ArrivingBodies:
    """The bodies of the requests to one listener."""

    def __init__(
        self,
        listener: str,
        limit: int,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`limit` is in bytes; bodies of clients that `trusts` names do not count."""
        self._trusts = trusts
        self._held: Counter[str] = Counter()
        self.in_memory = 0
        """How many bytes of bodies are in memory, and not in files."""

        self._waiting: dict[str, list[Body]] = {}  # of each client, oldest first
        self.bound = Bound(
            f"{listener}_body_bytes",
            f"bytes of bodies of requests to the {listener} listener",
            limit,
            self._held.total,
        )

    def open(self, address: str, give_way: Callable[[Overloaded], None]) -> "Body":
        """The body of a request that begins to arrive.

        `give_way` refuses the request before its body is read, and closes the body.
        """
        client = None if self._trusts(address) else subscriber_of(address)
        body = Body(self, client, give_way)
        if client is not None:
            self._waiting.setdefault(client, []).append(body)
        return body

    def take(self, body: "Body", length: int) -> None:
        """Count more of a body; raises `Overloaded` if there is no room for it."""
        client = body.client
        if client is None:
            return
        while self.bound.use() + length > self.bound.limit:
            self.bound.refuse()
            largest, held = max(
                self._held.items(), key=lambda item: item[1], default=(client, 0)
            )
            others = self._waiting.get(largest, [])
            if held <= self._held[client] + length or not others:
                raise Overloaded(
                    "there is no room for the bodies of more requests", _RETRY_SECONDS
                )
            others[-1].give_way(
                Overloaded(
                    "there is no room for the bodies of so many requests of one client",
                    _RETRY_SECONDS,
                )
            )
        self._held[client] += length

    def end_waiting(self, body: "Body") -> None:
        """Stop a body from giving way: it is read, or closed."""
        if body.client is None:
            return
        waiting = self._waiting.get(body.client, [])
        if body in waiting:
            waiting.remove(body)
            if not waiting:
                del self._waiting[body.client]

    def release(self, body: "Body") -> None:
        """Stop counting a body."""
        self.end_waiting(body)
        if body.client is not None:
            self._held[body.client] -= body.length
            if self._held[body.client] <= 0:
                del self._held[body.client]


class Body:
    """The body of one request: a file that is written on arrival, then read."""

    def __init__(
        self,
        bodies: ArrivingBodies,
        client: str | None,
        give_way: Callable[[Overloaded], None],
    ) -> None:
        """`client` is None if the body does not count."""
        self._bodies = bodies
        self._file: IO[bytes] = BytesIO()
        self.client = client
        self.give_way = give_way
        self.length = 0
        """In bytes, so far."""

        self._in_memory = 0
        self.closed = False

    def write(self, data: bytes) -> None:
        """Keep a piece that arrived; raises `Overloaded` if there is no room."""
        self._bodies.take(self, len(data))
        self.length += len(data)
        if isinstance(self._file, BytesIO):
            self._count_in_memory(len(data))
            if self.length > _IN_MEMORY or self._bodies.in_memory > _ALL_IN_MEMORY:
                self._keep(self._move_to_disk)
                self._count_in_memory(-self._in_memory)
        self._keep(lambda: self._file.write(data))

    def flush(self) -> None:
        """Flush to the disk what is buffered; raises `Overloaded`."""
        self._keep(self._file.flush)

    def read(self) -> bytes:
        """The rest of the body, which no longer gives way."""
        self._bodies.end_waiting(self)
        return self._file.read()

    def peek(self) -> bytes:
        """The whole body, which still gives way; the next `read` begins with it."""
        self._file.seek(0)
        body = self._file.read()
        self._file.seek(0)
        return body

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file."""
        return self._file.tell()

    def close(self) -> None:
        """Discard the body."""
        if not self.closed:
            self.closed = True
            self._bodies.release(self)
            self._count_in_memory(-self._in_memory)
            # Unwritten data is discarded anyway.
            with contextlib.suppress(OSError):
                self._file.close()

    def _count_in_memory(self, length: int) -> None:
        self._in_memory += length
        self._bodies.in_memory += length

    def _move_to_disk(self) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the body
        try:
            file.write(cast("BytesIO", self._file).getvalue())
        except OSError:
            with contextlib.suppress(OSError):
                file.close()
            raise
        self._file = file

    def _keep(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            raise Overloaded(
                f"there is no room for the body: {error.strerror}", _RETRY_SECONDS
            ) from None

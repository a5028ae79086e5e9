"""A lab for suites on asyncio.

Rules: each call is that of `Lab` or of `Server`, made in a thread, so that the loop
goes on while the lab waits.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from homeserver.testing.lab import Lab
from homeserver.testing.server import Server

_R = TypeVar("_R")


def _in_thread(method: Callable[..., _R]) -> Callable[..., Coroutine[Any, Any, _R]]:
    """The method of `blocking`, called in a thread."""

    async def call(self: Any, *args: Any, **kwargs: Any) -> _R:
        return await asyncio.to_thread(method, self.blocking, *args, **kwargs)

    call.__doc__ = method.__doc__
    return call


class AsyncServer:
    """A server of a lab."""

    def __init__(self, blocking: Server) -> None:
        self.blocking = blocking
        self.name = blocking.name
        self.listen = blocking.listen

    request = _in_thread(Server.request)
    send = _in_thread(Server.send)
    sent = _in_thread(Server.sent)
    received = _in_thread(Server.received)
    refused = _in_thread(Server.refused)
    resolve = _in_thread(Server.resolve)
    keys = _in_thread(Server.keys)
    exchanges = _in_thread(Server.exchanges)
    expect = _in_thread(Server.expect)
    quiet = _in_thread(Server.quiet)
    rule = _in_thread(Server.rule)
    change = _in_thread(Server.change)
    delete = _in_thread(Server.delete)


class AsyncLab:
    """A lab; enter it with `async with` to start or to join it."""

    def __init__(
        self, *options: str, url: str | None = None, token: str | None = None
    ) -> None:
        """As `Lab`."""
        self.blocking = Lab(*options, url=url, token=token)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.blocking.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.blocking.stop)

    async def server(self, name: str | None = None, **members: Any) -> AsyncServer:
        """As `Lab.server`."""
        made = await asyncio.to_thread(self.blocking.server, name, **members)
        return AsyncServer(made)

    async def servers(self, count: int, **members: Any) -> list[AsyncServer]:
        """As `Lab.servers`."""
        made = await asyncio.to_thread(self.blocking.servers, count, **members)
        return [AsyncServer(each) for each in made]

    exchanges = _in_thread(Lab.exchanges)
    exchange = _in_thread(Lab.exchange)
    expect = _in_thread(Lab.expect)
    certificate = _in_thread(Lab.certificate)
    forget = _in_thread(Lab.forget)

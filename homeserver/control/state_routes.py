"""The route of the control API that forgets what is stored.

Rules: as in `control.routes`. A kind of state is a name and what forgets it, in the
store and in memory: a report on another server tells nothing of a kind that is
forgotten. Caches are one for all of our names.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Protocol

from homeserver.control.caches import CacheBook
from homeserver.control.parameters import StateFilter
from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.submit import Spoiler
from homeserver.control.views import ForgottenState, Nothing
from homeserver.inbound.refusal_queue import RefusalQueue
from homeserver.protocol.errors import InvalidParam, NotFound, listed, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.forgetting import StoredState

Forget = Callable[[ServerName | None], Awaitable[int]]
"""Forgets for one of our names, or for all; returns how much that was."""


class Memories(Protocol):
    """What our servers remember of others in memory."""

    def look_again(self, name: ServerName, peer: ServerName, /) -> object:
        """Note that the keys or pins of `peer` are gone, for one of our names."""
        ...

    def forget_sightings(self, own: ServerName | None, /) -> object:
        """Forget how servers were last seen."""
        ...

    def forget_counts(self, own: ServerName | None, /) -> object:
        """Forget how many requests servers have made."""
        ...


def state_kinds(
    state: StoredState,
    caches: CacheBook,
    waiting: RefusalQueue,
    memories: Memories,
    spoiler: Spoiler | None = None,
) -> dict[str, Forget]:
    """What a server that was started has."""

    async def forget_queue(own: ServerName | None) -> int:
        planned = [] if spoiler is None else spoiler.planned(own)
        count = await state.forget_queue(own)
        if spoiler is not None and planned:
            # What a process is sending stays, with its mistakes.
            for plan in set(planned) - await state.transactions(own):
                spoiler.forget(*plan)
        return count

    async def forget_received(own: ServerName | None) -> int:
        count = await state.forget_received(own)
        memories.forget_counts(own)
        return count

    async def forget_pins(own: ServerName | None) -> int:
        count = await state.forget_pins(own, memories.look_again)
        memories.forget_sightings(own)
        return count

    async def forget_caches(_: ServerName | None) -> int:
        count = len(caches.all())
        caches.forget_all()
        return count

    async def forget_refused(own: ServerName | None) -> int:
        await waiting.catch_up()  # those that are recorded later would stay
        return await state.forget_refused(own)

    return {
        "queue": forget_queue,
        "received": forget_received,
        "refused": forget_refused,
        "pins": forget_pins,
        "keys": partial(state.forget_keys, forgotten=memories.look_again),
        "caches": forget_caches,
    }


def state_routes(
    kinds: Mapping[str, Forget], own_names: Callable[[], Collection[ServerName]]
) -> list[ControlRoute]:
    """What may be forgotten, by kind; `own_names` are ours at this moment."""

    async def forget(call: Call[StateFilter, Nothing]) -> ForgottenState:
        """Forget what is stored, by kind; what is being sent now stays."""
        chosen = dict.fromkeys(call.query.of.split(","))
        for kind in chosen:
            if kind not in kinds:
                raise InvalidParam(
                    f"`of` lists kinds of state with commas between them; "
                    f"{quote(kind)} is none of them: {listed(kinds, len(kinds))}"
                )
        own = call.query.server
        if own is not None and own not in own_names():
            names = listed(map(str, own_names()))
            raise NotFound(f"{quote(own.name)} is not a server here; there is {names}")
        return ForgottenState({kind: await kinds[kind](own) for kind in chosen})

    return [route("DELETE", "/v1/state", forget, errors=(NotFound,))]

"""The route of the control API that forgets what is stored.

Rules: as in `control.routes`. A kind of state is a name and what forgets it. Caches are
one for all of our names.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

from homeserver.control.caches import CacheBook
from homeserver.control.parameters import StateFilter
from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import ForgottenState, Nothing
from homeserver.inbound.refusal_queue import RefusalQueue
from homeserver.protocol.errors import InvalidParam, NotFound, listed, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.forgetting import Forgotten, StoredState

Forget = Callable[[ServerName | None], Awaitable[int]]
"""Forgets for one of our names, or for all; returns how much that was."""


def state_kinds(
    state: StoredState,
    caches: CacheBook,
    waiting: RefusalQueue,
    look_again: Forgotten,
) -> dict[str, Forget]:
    """What a server that was started has.

    `look_again` takes one of our names and a server whose keys or pins are gone.
    """

    async def forget_caches(_: ServerName | None) -> int:
        count = len(caches.all())
        caches.forget_all()
        return count

    async def forget_refused(own: ServerName | None) -> int:
        await waiting.catch_up()  # those that are recorded later would stay
        return await state.forget_refused(own)

    return {
        "queue": state.forget_queue,
        "received": state.forget_received,
        "refused": forget_refused,
        "pins": partial(state.forget_pins, forgotten=look_again),
        "keys": partial(state.forget_keys, forgotten=look_again),
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

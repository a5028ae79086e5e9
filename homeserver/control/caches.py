"""The caches of discovery and of the keyring, for an operator.

Rules: what is shown is what the next request to a server uses. Forgetting an entry only
causes a new look-up. Which routes failed lately is forgotten with it, so that the next
attempt tries them in the order of discovery.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from msgspec import UNSET
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from homeserver.control.peer_views import CacheEntry, KeysView, StepView
from homeserver.keys.key_fetches import KeyFetches, Pause
from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.discovery.kept_answers import KeptAnswer, KeptAnswers
from homeserver.protocol.discovery import Step
from homeserver.protocol.identifiers import ServerName


class FailedRoutes(Protocol):
    """The routes that failed lately."""

    def forget(self, name: ServerName, /) -> bool:
        """Forget those to one server; returns whether there were any."""
        ...

    def forget_all(self) -> None:
        """Forget all."""
        ...


class CacheBook:
    """The cached answers and pauses, of one of our servers or of several."""

    def __init__(
        self,
        answers: KeptAnswers,
        fetches: Callable[[], Iterable[KeyFetches]],
        failed_routes: Callable[[], Iterable[FailedRoutes]],
        clock: IReactorTime,
    ) -> None:
        """`fetches` and `failed_routes` return those of each server, now."""
        self._answers = answers
        self._fetches = fetches
        self._failed_routes = failed_routes
        self._clock = clock

    def all(self) -> list[CacheEntry]:
        """Every entry."""
        answers = [self._show_answer(each) for each in self._answers.all()]
        pauses = [pause for each in self._fetches() for pause in each.pauses()]
        return [*answers, *map(self._show_pause, pauses)]

    def about(self, name: ServerName) -> list[CacheEntry]:
        """The entries about one server."""
        answers = [self._show_answer(each) for each in self._answers.about(name)]
        pause = self._pause(name)
        return [*answers, *([] if pause is None else [self._show_pause(pause)])]

    def forget(self, name: ServerName) -> bool:
        """Forget the entries of one server; returns whether there were any."""
        has_pause = self._pause(name) is not None
        for each in self._fetches():
            each.end_pause(name)
        had_routes = [each.forget(name) for each in self._failed_routes()]
        return self._answers.forget(name) or has_pause or any(had_routes)

    def forget_all(self) -> None:
        """Forget everything."""
        self._answers.forget_all()
        for fetches in self._fetches():
            fetches.end_pauses()
        for routes in self._failed_routes():
            routes.forget_all()

    async def show_beside(
        self, describe: Callable[[ServerName], Awaitable[KeysView]], name: ServerName
    ) -> KeysView:
        """The keys of a server; `kept` is what was cached before they were fetched."""
        kept = self.about(name)
        return replace(await describe(name), kept=kept)

    def _pause(self, name: ServerName) -> Pause | None:
        """The first pause of a server, as each of ours has its own."""
        found = (each.pause(name) for each in self._fetches())
        return next(filter(None, found), None)

    def _show_answer(self, answer: KeptAnswer) -> CacheEntry:
        return CacheEntry(
            answer.kind,
            answer.asked,
            answer.found,
            _in_milliseconds(wall_seconds(self._clock) + answer.left),
            UNSET if answer.floor is None else answer.floor,
        )

    def _show_pause(self, pause: Pause) -> CacheEntry:
        failed = f"fetching them failed: {pause.problem}"
        return CacheEntry(
            "keys",
            pause.server_name.name,
            "fetched" if pause.problem is None else failed,
            _in_milliseconds(wall_seconds(self._clock) + pause.left),
        )


def mark_kept(answers: KeptAnswers, clock: IReactorTime) -> Callable[[Step], StepView]:
    """Makes the function that describes steps, and marks those with kept answers.

    A kept answer is one from before this call.
    """
    began = clock.seconds()

    def describe(step: Step) -> StepView:
        shown = StepView(step.step, step.asked, step.found)
        answer = answers.behind(step)
        if answer is None or answer.age <= clock.seconds() - began:
            return shown
        return replace(
            shown,
            kept_until_ts=_in_milliseconds(wall_seconds(clock) + answer.left),
            floor_seconds=UNSET if answer.floor is None else answer.floor,
        )

    return describe


def _in_milliseconds(seconds: float) -> int:
    return int(seconds * 1000)

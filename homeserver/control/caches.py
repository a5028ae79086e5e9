"""The caches of discovery and of the keyring, for an operator.

Rules: what is shown is what the next request to a server uses. Forgetting an entry only
causes a new look-up. Which routes failed lately is forgotten with it, so that the next
attempt tries them in the order of discovery.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import UNSET
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from homeserver.control.peer_views import CacheEntry, KeysView, StepView
from homeserver.keys.key_fetches import Pause
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


class KeyPauses(Protocol):
    """The pauses between fetches of servers' keys."""

    def pauses(self) -> list[Pause]:
        """Those of all servers."""
        ...

    def pause(self, server_name: ServerName, /) -> Pause | None:
        """That of one server, if there is one."""
        ...

    def end_pause(self, server_name: ServerName, /) -> None:
        """End that of one server."""
        ...

    def end_pauses(self) -> None:
        """End all."""
        ...


class CacheBook:
    """The cached answers and pauses."""

    def __init__(
        self,
        answers: KeptAnswers,
        fetches: KeyPauses,
        failed_routes: FailedRoutes,
        clock: IReactorTime,
    ) -> None:
        self._answers = answers
        self._fetches = fetches
        self._failed_routes = failed_routes
        self._clock = clock

    def all(self) -> list[CacheEntry]:
        """Every entry."""
        answers = [self._show_answer(each) for each in self._answers.all()]
        return [*answers, *map(self._show_pause, self._fetches.pauses())]

    def about(self, name: ServerName) -> list[CacheEntry]:
        """The entries about one server."""
        answers = [self._show_answer(each) for each in self._answers.about(name)]
        pause = self._fetches.pause(name)
        return [*answers, *([] if pause is None else [self._show_pause(pause)])]

    def forget(self, name: ServerName) -> bool:
        """Forget the entries of one server; returns whether there were any."""
        has_pause = self._fetches.pause(name) is not None
        self._fetches.end_pause(name)
        had_routes = self._failed_routes.forget(name)
        return self._answers.forget(name) or has_pause or had_routes

    def forget_all(self) -> None:
        """Forget everything."""
        self._answers.forget_all()
        self._fetches.end_pauses()
        self._failed_routes.forget_all()

    async def show_beside(
        self, describe: Callable[[ServerName], Awaitable[KeysView]], name: ServerName
    ) -> KeysView:
        """The keys of a server; `kept` is what was cached before they were fetched."""
        kept = self.about(name)
        return replace(await describe(name), kept=kept)

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

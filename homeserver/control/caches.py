"""The caches of discovery and of the keyring, for an operator.

Rules: what is shown is what the next request to a server uses. Forgetting an entry only
causes a new look-up.
"""

from collections.abc import Awaitable, Callable

from twisted.internet.interfaces import IReactorTime

from homeserver.keys.key_fetches import KeyFetches, Pause
from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.discovery.kept_answers import KeptAnswer, KeptAnswers
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.discovery import Step
from homeserver.protocol.identifiers import ServerName


class CacheBook:
    """The cached answers and pauses."""

    def __init__(
        self, answers: KeptAnswers, fetches: KeyFetches, clock: IReactorTime
    ) -> None:
        self._answers = answers
        self._fetches = fetches
        self._clock = clock

    def all(self) -> list[Json]:
        """Each as `{"cache", "asked", "found", "kept_until_ts", "floor_seconds"}`.

        `cache` is `well-known`, a type of DNS records, or `keys` for a pause between
        fetches of a server's keys. `floor_seconds` is present if the server asks for a
        shorter time: it is the minimum for every answer.
        """
        answers = [self._show_answer(each) for each in self._answers.all()]
        return [*answers, *map(self._show_pause, self._fetches.pauses())]

    def about(self, name: ServerName) -> list[Json]:
        """As `all`, for one server."""
        answers = [self._show_answer(each) for each in self._answers.about(name)]
        pause = self._fetches.pause(name)
        return [*answers, *([] if pause is None else [self._show_pause(pause)])]

    def forget(self, name: ServerName) -> bool:
        """Forget the entries of one server; returns whether there were any."""
        has_pause = self._fetches.pause(name) is not None
        self._fetches.end_pause(name)
        return self._answers.forget(name) or has_pause

    def forget_all(self) -> None:
        """Forget everything."""
        self._answers.forget_all()
        self._fetches.end_pauses()

    async def show_beside(
        self, describe: Callable[[ServerName], Awaitable[Json]], name: ServerName
    ) -> Json:
        """The description of a server; `kept` is what was cached before it."""
        kept = self.about(name)
        return {**await describe(name), "kept": kept}

    def _show_answer(self, answer: KeptAnswer) -> Json:
        return {
            "cache": answer.kind,
            "asked": answer.asked,
            "found": answer.found,
            **show_expiry(answer, self._clock),
        }

    def _show_pause(self, pause: Pause) -> Json:
        failed = f"fetching them failed: {pause.problem}"
        return {
            "cache": "keys",
            "asked": pause.server_name.name,
            "found": "fetched" if pause.problem is None else failed,
            "kept_until_ts": _in_milliseconds(wall_seconds(self._clock) + pause.left),
        }


def mark_kept(answers: KeptAnswers, clock: IReactorTime) -> Callable[[Step], Json]:
    """Makes the function that marks steps that use an answer from before this call.

    It returns members for the step, none if the answer is new.
    """
    began = clock.seconds()

    def mark(step: Step) -> Json:
        answer = answers.behind(step)
        if answer is None or answer.age <= clock.seconds() - began:
            return {}
        return show_expiry(answer, clock)

    return mark


def show_expiry(answer: KeptAnswer, clock: IReactorTime) -> Json:
    """Until when an answer is kept, and the minimum if that was applied."""
    shown: Json = {"kept_until_ts": _in_milliseconds(wall_seconds(clock) + answer.left)}
    return shown if answer.floor is None else {**shown, "floor_seconds": answer.floor}


def _in_milliseconds(seconds: float) -> int:
    return int(seconds * 1000)

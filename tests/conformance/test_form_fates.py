"""What the checks of an event's form make of its fate, without a target."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest

from homeserver.conformance import fates
from homeserver.conformance.checks import pdu_forms
from homeserver.conformance.fates import Fate
from homeserver.protocol.canonical_json import Json
from tests.support.check_outcomes import outcome_of, reply, returning


class Room:
    """A room in which nothing is sent."""

    state: ClassVar[dict[str, object]] = {}

    async def build(self, *_: object, **members: object) -> Json:
        """An event of no content."""
        return {"sender": "@a:b", "depth": 1, **members}

    message = build

    async def place(self) -> None:
        """One place is as good as another."""

    put = send = build

    def sign(self, pdu: Json) -> Json:
        """The event as it is."""
        return pdu

    def after(self, *_: object) -> None:
        """As `place`."""

    def cites(self, pdu: Json) -> Json:
        """As the event itself."""
        return pdu


NOT_KEPT = Fate(reply(200), "$e", is_end=False, event=reply(404))
KEPT = Fate(reply(200), "$e", is_end=False, event=reply(200))  # it was rejected
ACCEPTED = Fate(reply(200), "$e", is_end=True, event=reply(200))

DROPPED: list[bool | None] = [True, False, False]

# (the check, whether it is met by each of these fates)
FORMS: list[tuple[str, list[bool | None]]] = [
    *((f"P{number}", DROPPED) for number in ("08", "09", 10, *range(12, 16))),
    *((f"P{number}", DROPPED) for number in range(28, 32)),
    ("P11", [False, False, True]),
    ("P17", [None, None, None]),
    ("P22", [None, None, None]),
]


@pytest.mark.parametrize(("number", "verdicts"), FORMS)
def test_the_fate_of_a_form(
    monkeypatch: pytest.MonkeyPatch, number: str, verdicts: list[bool | None]
) -> None:
    """What has to be dropped may not be kept, although the room goes on without it."""
    [check] = [
        each
        for each in [*pdu_forms.FORMS, *pdu_forms.MANY]
        if each.id == f"{number}.v10"
    ]
    for module in (fates, pdu_forms):
        monkeypatch.setattr(module, "shared_room", shared_room)
    found = []
    for fate in (NOT_KEPT, KEPT, ACCEPTED):
        for module in (fates, pdu_forms):
            monkeypatch.setattr(module, "fate_of", returning(fate))
        found.append(outcome_of(check, None).is_met)
    assert found == verdicts


@asynccontextmanager
async def shared_room(*_: object) -> AsyncIterator[Room]:
    """The room."""
    yield Room()

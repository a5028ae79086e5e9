"""gomatrixserverlib's rules and state resolution say of random rooms what ours say.

What it is known to read otherwise stands in two tables: the rules, and the IDs of
events, in `gomatrixserverlib_differences.py`, state resolution in
`gomatrixserverlib_resolution.py`.

`RANDOM_ROOMS=2000 scripts/test --interop tests/interop/test_gomatrixserverlib_rooms.py`
asks about more rooms than usual, `RANDOM_ROOMS_FROM` about others; with
`--log-cli-level=INFO` it says what was met how often.
"""

import logging
import os
from collections import Counter
from random import Random

from tests.interop.gomatrixserverlib_differences import EVENT_IDS, RULES, known
from tests.interop.gomatrixserverlib_resolution import RESOLUTIONS
from tests.interop.gomatrixserverlib_rooms import SWITCHES, Judgement, Questions
from tests.protocol.rooms.random_rooms import VERSIONS, RandomRoom
from tests.support.json_lines import JsonLines

_LOG = logging.getLogger(__name__)
_ROOMS = int(os.environ.get("RANDOM_ROOMS", "100"))
_FROM = int(os.environ.get("RANDOM_ROOMS_FROM", "0"))


class Comparison:
    """What was asked of a number of rooms, and where the answers differ."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.known: Counter[str] = Counter()
        self.findings: list[tuple[object, ...]] = []

    def add(self, number: int, room: RandomRoom, dendrite: JsonLines) -> None:
        """Ask about one room."""
        questions = Questions(room)
        answer = dendrite.ask(questions.asked())
        assert "error" not in answer, answer
        self._add_ids(number, room, answer["ids"])
        judgements = questions.judgements(answer["verdicts"])
        for each in judgements:
            self._add_judgement(number, each)
        self._add_merges(number, questions, answer["merges"], judgements)

    def _add_ids(self, number: int, room: RandomRoom, ids: list[str]) -> None:
        for event, other in zip(room.events.values(), ids, strict=True):
            self.counts["events"] += 1
            if other != event.event_id:
                row = known(EVENT_IDS, event)
                self._note(row.name if row else "", number, "ID", event.pdu, other)

    def _add_judgement(self, number: int, each: Judgement) -> None:
        self.counts["checks"] += 1
        if each.differs:
            row = known(RULES, each)
            self._note(
                row.name if row else "", number, each.event.pdu, each.ours, each.theirs
            )

    def _add_merges(
        self,
        number: int,
        questions: Questions,
        merges: list[object],
        judgements: list[Judgement],
    ) -> None:
        # A trace's states are its own: they tell which judgements are part of it.
        other = {id(each.state) for each in judgements if each.differs}
        for trace, theirs in zip(questions.traces, merges, strict=True):
            if all(state == trace.states[0] for state in trace.states):
                continue
            row = known(RESOLUTIONS, trace)
            by_rule = any(id(each.state) in other for each in trace.judged)
            self.counts["merges"] += 1
            self.counts["merges without a known difference"] += not (row or by_rule)
            if questions.numbers_of(trace.resolved) == theirs:
                self.counts["merges to the same state"] += 1
                continue
            name = row.name if row else ""
            if by_rule:
                name = "an event of a merge is judged otherwise"
            self._note(name, number, "merge", theirs)

    def _note(self, name: str, *finding: object) -> None:
        """Count a known difference; without a name it is a finding."""
        if name:
            self.known[name] += 1
        else:
            self.findings.append(finding)


def random_room(number: int) -> RandomRoom:
    """The room of that number: of each version in turn, 5 to 200 events, few large."""
    size = int(5 * 40 ** Random(number).random())
    return RandomRoom(number, VERSIONS[number % len(VERSIONS)], size, SWITCHES)


def test_same_verdicts_and_states(dendrite: JsonLines) -> None:
    """Each event has the same ID, each check the same verdict, each merge one state.

    All but the known differences; where there is none, all merges are the same.
    """
    compared = Comparison()
    for number in range(_FROM, _FROM + _ROOMS):
        compared.add(number, random_room(number), dendrite)
    _LOG.info("%s; known: %s", dict(compared.counts), dict(compared.known))
    assert compared.findings[:3] == []
    rare = [row.name for row in RESOLUTIONS[-2:]]  # met once in 500 rooms
    met = {*rare, *compared.known}
    assert _FROM or {row.name for row in RESOLUTIONS} <= met
    assert compared.counts["events"] > 30 * _ROOMS
    assert compared.counts["checks"] > 150 * _ROOMS
    assert compared.counts["merges without a known difference"] > 2 * _ROOMS
    assert compared.counts["merges to the same state"] > 3 * _ROOMS

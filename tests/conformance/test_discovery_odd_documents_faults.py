"""D: each check of odd documents and records has a fault that turns it red."""

import re
from collections.abc import Callable, Mapping, Sequence

import pytest

from homeserver.protocol import discovery
from homeserver.protocol.discovery import Algorithm, Lookups, Resolution, SrvRecord
from homeserver.protocol.identifiers import ServerName
from tests.conformance.faulty import Row, check_row, patched
from tests.support.conformance_stage import SOUND, Fault, Stage

_resolve = discovery.resolve


class _Overlooking:
    """Look-ups that take "no service" for no record."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def well_known(self, host: str) -> ServerName:
        return await self._lookups.well_known(host)

    async def srv(self, name: str) -> Sequence[SrvRecord]:
        found = await self._lookups.srv(name)
        return [each for each in found if each.target != "."]


async def _overlooking(
    name: ServerName,
    lookups: Lookups,
    algorithm: Algorithm,
    draw: Callable[[int], int],
) -> Resolution:
    return await _resolve(name, _Overlooking(lookups), algorithm, draw)


_MODULE = "homeserver.outbound.discovery.well_known"

# Keys are fetched as soon as they have run out.
_NO_PAUSE = {"homeserver.keys.key_fetches._FRESH_SECONDS": 0.0}

_KEPT = ["D39", "D40", "D41", "D42"]

ROWS: list[Row] = [
    (
        "documents without an end",
        patched({f"{_MODULE}._MAX_BODY_BYTES": 2**40}),
        {"D22"},
    ),
    (
        "no service overlooked",
        patched({"homeserver.protocol.discovery.resolve": _overlooking}),
        {"D30"},
    ),
    (
        "questions without an end",
        patched({"homeserver.conformance.checks.discovery_addresses.SECONDS": 1.0}),
        {"D37"},
    ),
    (
        "documents not kept",
        patched({f"{_MODULE}.within_bounds": lambda _: 0.0, **_NO_PAUSE}),
        {"D39"},
    ),
    (
        "no documents not kept",
        patched({f"{_MODULE}._FAILURE_SECONDS": 0.0, **_NO_PAUSE}),
        {"D40"},
    ),
]


@pytest.mark.parametrize(("name", "fault", "expected"), ROWS)
def test_a_fault_turns_its_checks_red(
    on_stage: Stage, name: str, fault: Fault, expected: set[str]
) -> None:
    """It turns them red, and no others of this area."""
    area = ["D14", "D2*", "D30", "D36", *expected]
    if expected & set(_KEPT):
        area += _KEPT
    check_row(on_stage, fault, expected, area)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            SOUND,
            {
                "D20": "asked without TLS: nothing",
                "D21": "status 200; Host c",
                "D38": "status 200; Host C",
                "D41": "1 requests for the document, [34] for keys",
                "D42": "1 requests for the document, [34] for keys",
            },
        ),
        (
            patched(
                {
                    f"{_MODULE}._MAX_BODY_BYTES": 2**20,
                    f"{_MODULE}.within_bounds": lambda _: 0.0,
                    **_NO_PAUSE,
                }
            ),
            {
                "D21": "status 200; Host d.c",
                "D41": "([34]) requests for the document, \\1 for keys",
                "D42": "([34]) requests for the document, \\1 for keys",
            },
        ),
    ],
)
def test_choices_are_reported(
    on_stage: Stage, fault: Fault, told: Mapping[str, str]
) -> None:
    """What is told of them follows the target."""
    results = on_stage.run(sorted(told), fault)
    for each in on_stage.testable(told):
        assert results[each].result == "info"
        assert re.match(told[each], results[each].observed)

"""The end of a run, where rooms cannot be left."""

from collections.abc import Awaitable, Callable
from unittest.mock import patch

import pytest
from twisted.internet.defer import Deferred

from homeserver.conformance.facts import Facts
from homeserver.conformance.leaving import leave_all
from homeserver.conformance.target import Target
from tests.support.conformance_stage import SOUND, Stage
from tests.support.eventually import HANGING_SECONDS
from tests.support.logged_errors import PlantedError
from tests.support.waiting import wait

_MODULE = "homeserver.conformance.leaving"


async def _hang(*_: object) -> None:
    await Deferred[None]()


async def _fall(*_: object) -> None:
    raise PlantedError("a template that nobody expected")


@pytest.mark.parametrize("leave", [_hang, _fall])
def test_a_run_ends_all_the_same(
    on_stage: Stage, leave: Callable[..., Awaitable[None]]
) -> None:
    """Neither a target that hangs nor a mistake of ours costs the report."""

    async def work() -> None:
        endpoint, ground = await on_stage.target(SOUND)
        try:
            await ground.find()
            await leave_all(Target(ground, Facts()))
        finally:
            await endpoint.stop()

    with patch(f"{_MODULE}._leave", leave), patch(f"{_MODULE}._SECONDS", 0.05):
        wait(work(), HANGING_SECONDS)

"""What a run of the checks leaves in its process, where others follow: nothing."""

import gc

import pytest

from homeserver.app.endpoint import Endpoint
from homeserver.conformance.ground import Ground
from homeserver.http.router import Router
from homeserver.outbound.discovery.name_servers import DnsClient
from homeserver.rooms.room import Room
from tests.support.conformance_stage import Stage
from tests.support.waiting import pause, wait


def _count(kind: type) -> int:
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


async def _fall_to(count: int, kind: type) -> None:
    while _count(kind) > count:
        await pause(0.1)  # connections end


@pytest.mark.parametrize("kind", [DnsClient, Endpoint, Ground, Room, Router])
def test_nothing_is_left(on_stage: Stage, kind: type) -> None:
    """Whatever a run makes goes with it: each run would keep another one."""
    before = _count(kind)
    on_stage.run(["G01"])
    wait(_fall_to(before, kind))

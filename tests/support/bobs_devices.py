"""What is known of the devices of Bob."""

from tests.support.coroutines import result_of
from tests.support.device_side import DeviceSide, devices, update
from tests.support.our_rooms import BOB

PATH = f"/_matrix/federation/v1/user/devices/{BOB}"


def fetched(side: DeviceSide, stream_id: int = 1, *ids: str) -> None:
    """Let Bob's devices have been fetched."""
    side.tell(update(stream_id))
    side.remote.answer(devices(stream_id, *ids))
    assert side.stream_id() == stream_id


def problem(side: DeviceSide) -> str:
    """Why Bob's list is not up to date."""
    found = result_of(side.lists.known(BOB)).problem
    assert found is not None
    return found

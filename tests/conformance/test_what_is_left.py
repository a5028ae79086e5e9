"""What a run of the checks leaves in its process, where others follow: nothing."""

import gc

from homeserver.outbound.discovery.name_servers import DnsClient
from tests.support.conformance_stage import Stage


def _clients() -> int:
    gc.collect()
    return sum(type(each) is DnsClient for each in gc.get_objects())


def test_no_client_of_name_servers_is_left(on_stage: Stage) -> None:
    """Each run makes one to find its target, and another one for ours."""
    before = _clients()
    on_stage.run(["H01"])
    assert _clients() == before

"""How what is remembered of other servers is forgotten: of one, of all, by a retry.

What is forgotten is looked up again when it is asked for.
"""

import pytest

from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName
from tests.support.control_side import Panel
from tests.support.kept_answers import (
    HOST,
    OTHERS,
    asked,
    keep_document,
    keep_everything,
    pause,
    shown,
)


def test_forget_one_server() -> None:
    """What concerns one server is forgotten, and nothing else."""
    panel = Panel()
    keep_everything(panel)
    other = ServerName.parse("other.example")
    panel.failed_routes |= {ServerName.parse(HOST), other}
    assert panel.ask("DELETE", f"/v1/caches?server={HOST}").json == {}
    assert asked(panel) == OTHERS
    assert panel.failed_routes == {other}


def test_forget_all() -> None:
    """Everything is forgotten, and looked up when it is asked for."""
    panel = Panel()
    keep_everything(panel)
    panel.failed_routes.add(ServerName.parse(HOST))
    assert panel.ask("DELETE", "/v1/caches").json == {}
    assert shown(panel) == []
    assert not panel.failed_routes


def test_retry_forgets() -> None:
    """A retry forgets what was looked up to reach a peer, who may be a new one."""
    panel = Panel()
    keep_everything(panel)
    assert panel.ask("POST", f"/v1/peers/{HOST}/retry", {}).status == 200
    assert asked(panel) == OTHERS
    again = panel.ask("POST", f"/v1/peers/{HOST}/retry", {})
    assert again.error == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("only", ["pause", "document", "failed route"])
def test_retry_of_who_is_hardly_known(only: str) -> None:
    """It is enough that one thing was remembered."""
    panel = Panel()
    if only == "pause":
        pause(panel)
    elif only == "failed route":
        panel.failed_routes.add(ServerName.parse(HOST))
    else:
        keep_document(panel, HOST, LookupFailed("no answer"))
    assert panel.ask("POST", f"/v1/peers/{HOST}/retry", {}).status == 200


@pytest.mark.parametrize("path", ["/v1/caches", f"/v1/caches?server={HOST}"])
def test_failures_begin_again(path: str) -> None:
    """After forgetting, keys that cannot be fetched pause as long as at first."""
    panel = Panel()
    pause(panel)
    panel.clock.advance(31)
    pause(panel)
    assert (
        shown(panel)[0]["kept_until_ts"] == int(panel.clock.seconds() * 1000) + 60_000
    )
    panel.ask("DELETE", path)
    pause(panel)
    assert (
        shown(panel)[0]["kept_until_ts"] == int(panel.clock.seconds() * 1000) + 30_000
    )

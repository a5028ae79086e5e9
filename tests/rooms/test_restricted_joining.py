"""Restricted joins through other servers, which the authorising one signs as well."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.errors import NoServerHelps
from tests.support.join_replies import FIRST, restricted, without
from tests.support.neighbours import ANN, Neighbours


def test_restricted() -> None:
    """A restricted join is signed by the server that authorised it as well."""
    near = Neighbours()
    restricted(near)
    room = near.join()
    join = room.current["m.room.member", ANN.user_id]
    assert set(join.pdu["signatures"]) == {FIRST.name, ANN.server_name.name}  # type: ignore[call-overload]


def their_signature(reply: Any) -> dict[str, str]:
    """The signatures of the first server on the join."""
    found: dict[str, str] = reply["event"]["signatures"][FIRST.name]
    return found


def forged_signature(reply: Any) -> Any:
    """A reply whose signature on the join does not verify."""
    found = their_signature(reply)
    found.update(dict.fromkeys(found, "A" * 86))
    return reply


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (without("event"), "no `event`"),
        (without("event", "signatures", FIRST.name), "did not sign|not a JSON object"),
        (forged_signature, "signature"),
    ],
)
def test_restricted_unsigned(change: Callable[[Any], Any], why: str) -> None:
    """Without a valid signature of the authorising server, nothing is joined."""
    near = Neighbours()
    restricted(near)
    near.calls.change["send_join"] = change
    with pytest.raises(NoServerHelps, match=why):
        near.join()
    assert near.ours is None

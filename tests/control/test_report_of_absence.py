"""What a report says of a server that has asked about what is not here."""

import pytest

from homeserver.protocol.canonical_json import as_list, as_object
from homeserver.storage.refusals import Refusal, RefusalStore
from tests.support.control_side import Panel
from tests.support.coroutines import result_of
from tests.support.manual_sender import US
from tests.support.signed_requests import THEM

PROFILE = "/_matrix/federation/v1/query/profile"

CASES: list[tuple[int, str, bool]] = [
    (404, "content", False),
    (404, "not_found", False),
    (404, "unknown_path", True),
    (403, "content", True),
]


@pytest.mark.parametrize(("status", "reason", "is_wrong"), CASES)
def test_absence(status: int, reason: str, *, is_wrong: bool) -> None:
    """A server may ask about a user or a room that is not here, and is told so."""
    panel = Panel()
    refusal = Refusal(
        refused_ts=1,
        address="192.0.2.1",
        origin=THEM.server_name.name,
        proven=True,
        method="GET",
        path=PROFILE,
        status=status,
        errcode="M_UNKNOWN",
        error="why",
        reason=reason,
    )
    result_of(RefusalStore(panel.database, US).record([refusal]))
    found = panel.ask("GET", f"/v1/peers/{THEM.server_name}/report").json
    [check] = as_list(found["checks"], "checks")
    shown = as_object(check, "a check")
    assert found["is_wrong"] is is_wrong
    assert shown["name"] == (reason if is_wrong else "not found")
    assert shown["outcome"] == ("failed" if is_wrong else "remarked")
    assert shown["example"] == f"GET {PROFILE}: {status} why"

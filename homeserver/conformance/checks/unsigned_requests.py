"""Q: requests without a signature, of all routes that need one.

Rules: a route that the target does not have is left out, and said to be.
"""

from homeserver.conformance.check import check, must
from homeserver.conformance.outcome import NotTestable, Outcome, each_of
from homeserver.conformance.reply import not_authenticated
from homeserver.conformance.target import Target
from homeserver.protocol.federation_paths import V1

_SIGNED_ROUTES = [
    ("PUT", "/send/1"),
    ("GET", "/event/$none"),
    ("GET", "/state/!none:elsewhere.invalid?event_id=$none"),
    ("GET", "/state_ids/!none:elsewhere.invalid?event_id=$none"),
    ("GET", "/event_auth/!none:elsewhere.invalid/$none"),
    ("GET", "/backfill/!none:elsewhere.invalid?v=$none&limit=1"),
    ("POST", "/get_missing_events/!none:elsewhere.invalid"),
    ("GET", "/timestamp_to_event/!none:elsewhere.invalid?ts=0&dir=f"),
    ("GET", "/make_join/!none:elsewhere.invalid/@user:elsewhere.invalid"),
    ("PUT", "/send_join/!none:elsewhere.invalid/$none"),
    ("PUT", "/../v2/send_join/!none:elsewhere.invalid/$none"),
    ("GET", "/make_leave/!none:elsewhere.invalid/@user:elsewhere.invalid"),
    ("PUT", "/send_leave/!none:elsewhere.invalid/$none"),
    ("PUT", "/../v2/send_leave/!none:elsewhere.invalid/$none"),
    ("GET", "/make_knock/!none:elsewhere.invalid/@user:elsewhere.invalid"),
    ("PUT", "/send_knock/!none:elsewhere.invalid/$none"),
    ("PUT", "/invite/!none:elsewhere.invalid/$none"),
    ("PUT", "/../v2/invite/!none:elsewhere.invalid/$none"),
    ("PUT", "/exchange_third_party_invite/!none:elsewhere.invalid"),
    ("GET", "/publicRooms"),
    ("POST", "/publicRooms"),
    ("GET", "/hierarchy/!none:elsewhere.invalid"),
    ("GET", "/query/directory?room_alias=%23none:elsewhere.invalid"),
    ("GET", "/query/profile?user_id=@user:elsewhere.invalid"),
    ("GET", "/user/devices/@user:elsewhere.invalid"),
    ("POST", "/user/keys/query"),
    ("POST", "/user/keys/claim"),
]


@check("Q28", must, "Server-server API, Request Authentication")
async def unsigned(t: Target) -> Outcome:
    """Each signed route refuses a request without a signature, with 401 or 403."""
    found: list[tuple[str, Outcome]] = []
    for method, path in _SIGNED_ROUTES:
        target = f"{V1}{path}".replace("/v1/..", "")
        body = None if method == "GET" else b"{}"
        headers = [("Content-Type", "application/json")] if body else []
        reply = await t.plain(method, target, body, headers)
        if reply.status not in {404, 405} or reply.errcode != "M_UNRECOGNIZED":
            found.append((f"{method} {target}", not_authenticated(reply)))
    if not found:
        raise NotTestable("the target has none of the routes")
    outcome = each_of(found)
    absent = len(_SIGNED_ROUTES) - len(found)
    return outcome if outcome.is_met is False or not absent else _less(outcome, absent)


def _less(outcome: Outcome, absent: int) -> Outcome:
    text = f"{outcome.observed}; {absent} of {len(_SIGNED_ROUTES)} routes are absent"
    return Outcome(outcome.is_met, text)

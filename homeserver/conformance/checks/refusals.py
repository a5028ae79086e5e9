"""H: the form of refusals, and of answers beyond ASCII.

Rules: none of these requests costs the target more than its answer.
"""

from urllib.parse import quote

from homeserver.conformance.check import TRUSTED_NAME, check, must
from homeserver.conformance.outcome import Outcome, each_of, expect
from homeserver.conformance.reply import Reply
from homeserver.conformance.target import Target
from homeserver.protocol.federation_paths import V1

_STANDARDS = "Server-server API, API standards"
_VERSION = f"{V1}/version"


@check("H05", must, _STANDARDS)
async def form_of_refusals(t: Target) -> Outcome:
    """A refusal is a JSON object with an errcode, as application/json."""
    found = [
        (f"{method} {path}", _is_error(await t.plain(method, path)))
        for method, path in (
            ("GET", f"{V1}/{t.fresh('none')}"),
            ("GET", f"{V1}/publicRooms"),
            ("DELETE", _VERSION),
        )
    ]
    return each_of(found)


def _is_error(reply: Reply) -> Outcome:
    return expect(
        bool(reply.errcode) and reply.content_type == "application/json",
        f"{reply}, {reply.content_type or 'no content type'}",
        wanted="a JSON object with errcode, application/json",
    )


@check("H17", must, _STANDARDS, needs=[TRUSTED_NAME])
async def beyond_ascii(t: Target) -> Outcome:
    """A user ID outside ASCII is answered in JSON of UTF-8, by 200 or 4xx."""
    user = quote(f"@\u00fcser\u2603:{t.name}", safe="@:")
    query = f"user_id={user}"
    reply = await t.request(t.server(), "GET", f"{V1}/query/profile", query=query)
    return expect(
        (reply.is_ok or reply.is_refusal) and isinstance(reply.content, dict),
        reply,
        wanted="status 200 or 4xx, and a JSON object",
    )


_REFUSING = (
    "/event/$none",
    "/state/!none:elsewhere.invalid?event_id=$none",
    "/make_join/!none:elsewhere.invalid/@user:elsewhere.invalid",
    "/make_leave/!none:elsewhere.invalid/@user:elsewhere.invalid",
    "/backfill/!none:elsewhere.invalid?v=$none&limit=1",
    "/hierarchy/!none:elsewhere.invalid",
    "/query/profile?user_id=@nobody:elsewhere.invalid",
    "/query/directory?room_alias=%23none:elsewhere.invalid",
    "/user/devices/@nobody:elsewhere.invalid",
    "/state_ids/!none:elsewhere.invalid?event_id=$none",
    "/event_auth/!none:elsewhere.invalid/$none",
    "/timestamp_to_event/!none:elsewhere.invalid?ts=0&dir=f",
    "/make_knock/!none:elsewhere.invalid/@user:elsewhere.invalid",
    "/media/download/none",
)

_REFUSING_BODIES = (
    ("PUT", "/v2/send_join/!none:elsewhere.invalid/$none"),
    ("PUT", "/v2/send_leave/!none:elsewhere.invalid/$none"),
    ("PUT", "/v1/send_knock/!none:elsewhere.invalid/$none"),
    ("PUT", "/v2/invite/!none:elsewhere.invalid/$none"),
    ("PUT", "/v1/exchange_third_party_invite/!none:elsewhere.invalid"),
    ("POST", "/v1/get_missing_events/!none:elsewhere.invalid"),
    ("POST", "/v1/publicRooms"),
    ("POST", "/v1/user/keys/query"),
    ("POST", "/v1/user/keys/claim"),
)
"""Those that are asked with an empty object."""


@check("H18", must, _STANDARDS, needs=[TRUSTED_NAME])
async def every_refusal(t: Target) -> Outcome:
    """The refusals of all routes are JSON objects with an errcode."""
    found: list[tuple[str, Outcome]] = []
    for target in _REFUSING:
        path, _, query = target.partition("?")
        reply = await t.request(t.server(), "GET", V1 + path, query=query or None)
        found.append((f"GET {target}", _has_code(reply)))
    for method, target in _REFUSING_BODIES:
        path = f"/_matrix/federation{target}"
        reply = await t.request(t.server(), method, path, content={})
        found.append((f"{method} {target}", _has_code(reply)))
    return each_of(found)


def _has_code(reply: Reply) -> Outcome:
    return expect(reply.is_ok or bool(reply.errcode), reply, wanted="an errcode")

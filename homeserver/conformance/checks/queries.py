"""Q: queries: profiles, aliases, the list of public rooms, spaces, and what they need.

Rules: a route that the target does not have is not testable. Whether a stranger may ask
is the target's choice where the text says so: 403 passes then.
"""

from collections.abc import Callable

from homeserver.conformance.check import (
    ALIAS,
    TRUSTED_NAME,
    USER,
    Check,
    check,
    info,
    must,
    robustness,
)
from homeserver.conformance.outcome import (
    NotTestable,
    Outcome,
    expect,
    reported,
)
from homeserver.conformance.reply import (
    Reply,
    present,
    refused,
    status,
)
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.federation_paths import V1

_QUERY = "Server-server API, GET /_matrix/federation/v1/query/"
_PROFILE = _QUERY + "profile"
_DIRECTORY = _QUERY + "directory"
_ROOMS = "Server-server API, GET /_matrix/federation/v1/publicRooms"
_SPACES = "Server-server API, GET /_matrix/federation/v1/hierarchy/{roomId}"


async def get(t: Target, path: str, query: str | None = None) -> Reply:
    """A signed GET of a fresh name; raises `NotTestable` for a route that is absent."""
    return present(await t.request(t.server(), "GET", V1 + path, query=query))


def not_found(reply: Reply) -> Outcome:
    """Whether the answer is 404 M_NOT_FOUND."""
    return expect(
        (reply.status, reply.errcode) == (404, "M_NOT_FOUND"),
        reply,
        wanted="status 404 M_NOT_FOUND",
    )


async def _profile(t: Target, query: str = "") -> Reply:
    """The profile of a user of the target; raises `NotTestable` where it has none."""
    user = t.facts.users[0]
    reply = await get(t, "/query/profile", f"user_id={user}{query}")
    if not_found(reply).is_met:
        raise NotTestable(
            f"{user} has no profile with a display name, or is none of its users: "
            f"{reply}"
        )
    return reply


@check("Q01", must, _PROFILE, needs=[TRUSTED_NAME, USER])
async def profile(t: Target) -> Outcome:
    """The profile of a user is an object of texts, or forbidden."""
    reply = await _profile(t)
    values = [reply.json.get(n, "") for n in ("displayname", "avatar_url")]
    is_sound = reply.is_object and all(v is None or isinstance(v, str) for v in values)
    return expect(
        (reply.is_ok and is_sound) or reply.status == 403,
        reply,
        reply.content,
        wanted="status 200 with an object, or 403",
    )


@check("Q02", must, _PROFILE, needs=[TRUSTED_NAME, USER])
async def profile_field(t: Target) -> Outcome:
    """With `field`, the profile has that field alone."""
    reply = await _profile(t, "&field=displayname")
    is_alone = reply.is_object and reply.json.keys() <= {"displayname"}
    return expect(
        (reply.is_ok and is_alone) or reply.status == 403,
        reply,
        f"members {sorted(reply.json)}" if reply.is_object else "no object",
        wanted="displayname alone, or status 403",
    )


@check("Q03", must, _PROFILE, needs=[TRUSTED_NAME])
async def unknown_user(t: Target) -> Outcome:
    """A user that there is not has no profile: 404 M_NOT_FOUND, or 403."""
    user_id = f"@{t.fresh('nobody')}:{t.name}"
    reply = await get(t, "/query/profile", f"user_id={user_id}")
    return not_found(reply) if reply.status != 403 else status(reply, 403)


def _row(
    check_id: str,
    section: str,
    question: tuple[str, str | None],
    rule: str,
    judge: Callable[[Reply], Outcome] = refused,
) -> Check:
    """One question, a path and a query, and what its answer is to be."""
    path, query = question

    async def run(t: Target) -> Outcome:
        text = None if query is None else query.replace("TARGET", t.name.name)
        return judge(await get(t, path, text))

    severity = must if section else robustness
    severity = info if judge is reported else severity
    return check(check_id, severity, section, needs=[TRUSTED_NAME], rule=rule)(run)


def _bad_request(reply: Reply) -> Outcome:
    return status(reply, 400)


QUESTIONS = [
    _row(
        "Q04",
        _PROFILE,
        ("/query/profile", "user_id=@user:elsewhere.invalid"),
        "The profile of another server's user is refused.",
    ),
    _row(
        "Q05",
        "",
        ("/query/profile", None),
        "A question for a profile without `user_id` is refused with 400.",
        _bad_request,
    ),
    _row(
        "Q06",
        "",
        ("/query/profile", "user_id=%00garbage"),
        "A question for the profile of what is no user ID is refused.",
    ),
    _row(
        "Q08",
        _DIRECTORY,
        ("/query/directory", "room_alias=%23there-is-none:TARGET"),
        "An alias that there is not is answered by 404 M_NOT_FOUND.",
        not_found,
    ),
    _row(
        "Q09",
        "",
        ("/query/directory", None),
        "A question for a room without `room_alias` is refused with 400.",
        _bad_request,
    ),
    _row(
        "Q10",
        _QUERY + "{queryType}",
        ("/query/unknown", None),
        "A query of an unknown type is refused, by a status of the target's choice.",
        reported,
    ),
    _row(
        "Q11",
        "",
        ("/query/directory", "room_alias=%00garbage"),
        "A question for what is no alias is refused.",
    ),
    _row(
        "Q24",
        _SPACES,
        ("/hierarchy/!none:elsewhere.invalid", None),
        "The hierarchy of a room that there is not is answered by 404 M_NOT_FOUND.",
        not_found,
    ),
]


@check("Q07", must, _DIRECTORY, needs=[TRUSTED_NAME, ALIAS])
async def alias(t: Target) -> Outcome:
    """An alias leads to a room ID and to the servers that are in the room."""
    known = (t.facts.alias or "").replace("#", "%23")
    reply = await get(t, "/query/directory", f"room_alias={known}")
    servers = reply.json.get("servers")
    return expect(
        str(reply.json.get("room_id", "")).startswith("!")
        and isinstance(servers, list)
        and t.name.name in servers,
        reply,
        reply.json,
        wanted="room_id, and servers with the target among them",
    )


def _is_list_of_rooms(reply: Reply) -> Outcome:
    chunk = reply.json.get("chunk")
    is_met = reply.is_ok and isinstance(chunk, list)
    return expect(
        is_met or reply.status == 403, reply, wanted="status 200 with a chunk, or 403"
    )


@check("Q12", must, _ROOMS, needs=[TRUSTED_NAME])
async def public_rooms(t: Target) -> Outcome:
    """The list of public rooms has a chunk, or is forbidden."""
    return _is_list_of_rooms(await get(t, "/publicRooms", "limit=3"))


@check(
    "Q13",
    must,
    "Server-server API, POST /_matrix/federation/v1/publicRooms",
    needs=[TRUSTED_NAME],
)
async def searched_rooms(t: Target) -> Outcome:
    """The list of public rooms that is searched has a chunk, or is forbidden."""
    content: Json = {"limit": 3, "filter": {"generic_search_term": t.fresh("none")}}
    reply = await t.request(t.server(), "POST", f"{V1}/publicRooms", content=content)
    return _is_list_of_rooms(present(reply))


@check("Q26", info, "Server-server API, PUT /_matrix/federation/v1/3pid/onbind")
async def onbind(t: Target) -> Outcome:
    """An empty notice of an identity server is refused."""
    header = ("Content-Type", "application/json")
    return reported(await t.plain("PUT", f"{V1}/3pid/onbind", b"{}", [header]))


@check(
    "Q27",
    must,
    "Server-server API, POST /_matrix/policy/v1/sign",
    needs=[TRUSTED_NAME],
)
async def no_policy_server(t: Target) -> Outcome:
    """A server that is no policy server answers 404 where one signs events."""
    ours = t.server()
    path = "/_matrix/policy/v1/sign"
    reply = await t.request(ours, "POST", path, content={})
    if reply.status in {400, 403} and reply.errcode in _OF_POLICY_SERVERS:
        raise NotTestable(f"the target is a policy server: {reply}")
    return status(reply, 404)


_OF_POLICY_SERVERS = ("M_BAD_JSON", "M_FORBIDDEN", "M_MISSING_PARAM", "M_NOT_JSON")
"""How a policy server may refuse to sign what is no event."""

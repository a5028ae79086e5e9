"""Q: each check of profiles, aliases, rooms and spaces has a fault for it."""

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from tests.conformance.faulty import Row, fault_test
from tests.conformance.query_target import (
    DIRECTORY,
    NOT_FOUND,
    PROFILE,
    UNKNOWN,
    V1,
    Change,
    as_json,
    error,
    target,
)
from tests.support.conformance_stage import Fault

_ROOMS = f"{V1}/publicRooms"
_SPACES = f"{V1}/hierarchy/{{roomId}}"
_POLICY = "/_matrix/policy/v1/sign"


def _where(text: bytes, reply: Reply) -> Change:
    """Another answer to requests with a text in their target."""
    return lambda _, request: reply if text in request.uri else None


def _profile(change: Change) -> Fault:
    return target(replies={("GET", PROFILE): change})


def _number(reply: Reply, request: Request) -> Reply | None:
    is_whole = b"alice" in request.uri and b"field" not in request.uri
    return as_json({"displayname": 1}) if is_whole else None


def _whole(_: Reply, request: Request) -> Reply | None:
    found = {"displayname": "Alice", "avatar_url": "mxc://a/b"}
    return as_json(found) if b"field" in request.uri else None


def _no_user_id(reply: Reply, _: Request) -> Reply | None:
    return NOT_FOUND if reply.status == 400 else None


def _to_strangers(reply: Reply, request: Request) -> Reply | None:
    return NOT_FOUND if request.getHeader(b"Authorization") is None else None


_BROKEN = error(500, "M_UNKNOWN")


def _directory(change: Change) -> Fault:
    return target(replies={("GET", DIRECTORY): change})


ROWS: list[Row] = [
    ("users and media", target(), set()),
    ("name is a number", _profile(_number), {"Q01"}),
    ("field ignored", _profile(_whole), {"Q02"}),
    ("another code for nobody", _profile(_where(b"@nobody", UNKNOWN)), {"Q03"}),
    (
        "answers for others",
        _profile(
            lambda reply, request: (
                as_json({})
                if reply.status == 404 and b"elsewhere" in request.uri
                else None
            )
        ),
        {"Q04"},
    ),
    ("404 without a user", _profile(_no_user_id), {"Q05"}),
    ("breaks on a user ID", _profile(_where(b"%00", _BROKEN)), {"Q06"}),
    ("no servers of an alias", target(servers=False), {"Q07"}),
    (
        "another code for no alias",
        _directory(_where(b"none", UNKNOWN)),
        {"Q08", "Q28"},
    ),
    ("404 without an alias", _directory(_no_user_id), {"Q09"}),
    ("breaks on an alias", _directory(_where(b"%00", _BROKEN)), {"Q11"}),
    (
        "no list of rooms",
        target(replies={("GET", _ROOMS): _where(b"limit", as_json({}))}),
        {"Q12"},
    ),
    (
        "no list that is searched",
        target(replies={("POST", _ROOMS): lambda reply, _: _listed(reply)}),
        {"Q13"},
    ),
    (
        "another code for a space",
        target(replies={("GET", _SPACES): lambda r, _: _other_code(r)}),
        {"Q24"},
    ),
    (
        "signs events",
        target(replies={("POST", _POLICY): lambda *_: as_json({})}),
        {"Q27"},
    ),
    ("404 to strangers", _profile(_to_strangers), {"Q28"}),
]


def _listed(reply: Reply) -> Reply | None:
    return as_json({}) if reply.status == 200 else None


def _other_code(reply: Reply) -> Reply | None:
    return UNKNOWN if reply.status == 404 else None


test_a_fault_turns_its_checks_red = fault_test(ROWS, ["Q"])

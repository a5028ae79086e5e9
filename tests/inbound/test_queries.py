"""The queries of other servers: profiles, and what is not here."""

import pytest

from homeserver.protocol.canonical_json import Json
from tests.support.federation_side import PROFILE, PROFILES, QUERY, Endpoint, ask_signed
from tests.support.http_connection import ask
from tests.support.signed_requests import THEM

PROFILE_ANSWERS: list[tuple[str, Json]] = [
    (
        "?user_id=@a:us.example",
        {"displayname": "Ä", "avatar_url": "mxc://us.example/a"},
    ),
    (
        "?user_id=%40a%3Aus.example",
        {"displayname": "Ä", "avatar_url": "mxc://us.example/a"},
    ),
    ("?user_id=@a:us.example&field=displayname", {"displayname": "Ä"}),
    (
        "?field=avatar_url&user_id=@a:us.example",
        {"avatar_url": "mxc://us.example/a"},
    ),
    ("?user_id=@a:us.example&field=other", {}),
    ("?user_id=@b:us.example", {"displayname": "B"}),
    ("?user_id=@b:us.example&field=avatar_url", {}),
]


@pytest.mark.parametrize(("query", "expected"), PROFILE_ANSWERS)
def test_profile(query: str, expected: Json) -> None:
    """A profile is told whole, or one field of it, as far as it has it."""
    endpoint = Endpoint(profiles=PROFILES)
    answer = ask_signed(endpoint, "GET", f"{QUERY}/profile{query}")
    assert (answer.status, answer.json) == (200, expected)


BAD_QUERIES: list[tuple[str, int, str]] = [
    ("/profile", 400, "M_MISSING_PARAM"),
    ("/profile?user_id", 400, "M_MISSING_PARAM"),
    ("/profile?user_id=", 404, "M_NOT_FOUND"),
    ("/profile?user_id=@a:us.example&user_id=@b:us.example", 400, "M_INVALID_PARAM"),
    ("/profile?user_id=@c:us.example", 404, "M_NOT_FOUND"),
    ("/profile?user_id=@a:them.example", 404, "M_NOT_FOUND"),
    ("/profile?user_id=@A:us.example", 404, "M_NOT_FOUND"),
    ("/profile?user_id=%ff", 404, "M_NOT_FOUND"),
    ("/directory?room_alias=%23a:us.example", 404, "M_NOT_FOUND"),
    ("/other", 404, "M_NOT_FOUND"),
    ("/%ff", 404, "M_NOT_FOUND"),
    ("/", 404, "M_UNRECOGNIZED"),
]


@pytest.mark.parametrize(("query", "status", "errcode"), BAD_QUERIES)
def test_bad_query(query: str, status: int, errcode: str) -> None:
    """A query for what is not here says so."""
    endpoint = Endpoint(profiles=PROFILES)
    assert ask_signed(endpoint, "GET", QUERY + query).error == (status, errcode)


def test_query_with_a_body() -> None:
    """The body of a GET counts as every body does."""
    endpoint = Endpoint(profiles=PROFILES)
    assert ask_signed(endpoint, "GET", PROFILE, {}).status == 200
    header = "Authorization: " + THEM.authorize("GET", PROFILE)
    answer = ask(endpoint.site, "GET", PROFILE, [header], b"{}")
    assert answer.error == (401, "M_UNAUTHORIZED")

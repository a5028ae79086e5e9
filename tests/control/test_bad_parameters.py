"""Query parameters of the control API that cannot be used."""

from tests.support.control_side import Panel
from tests.support.tables import cases

WHOLE = "not a whole number from 0 on"
SECONDS = "not a number of seconds from 0 on"
KNOWN = "known are after, limit, origin, wait"

# (name, the query, the error)
BAD = [
    ("limit -1", "limit=-1", f"`limit` is '-1', {WHOLE}"),
    ("limit 1.5", "limit=1.5", f"`limit` is '1.5', {WHOLE}"),
    ("limit 1e2", "limit=1e2", f"`limit` is '1e2', {WHOLE}"),
    ("limit all", "limit=all", f"`limit` is 'all', {WHOLE}"),
    ("after -5", "after=-5", f"`after` is '-5', {WHOLE}"),
    (
        "after huge",
        f"after={10**18}",
        "`after` has more than 18 digits; give a smaller one",
    ),
    ("wait -1", "wait=-1", f"`wait` is '-1', {SECONDS}"),
    ("wait nan", "wait=nan", f"`wait` is 'nan', {SECONDS}"),
    ("wait inf", "wait=inf", f"`wait` is 'inf', {SECONDS}"),
    ("wait 1_0", "wait=1_0", f"`wait` is '1_0', {SECONDS}"),
    ("wait .", "wait=.", f"`wait` is '.', {SECONDS}"),
    ("twice", "limit=1&limit=1", "`limit` is given more than once"),
    ("unknown", "max=1", f"there is no query parameter 'max' here; {KNOWN}"),
    (
        "misspelt",
        "limits=1",
        f"there is no query parameter 'limits' here; {KNOWN}; did you mean 'limit'?",
    ),
]


@cases("query error", BAD)
def test_bad(query: str, error: str) -> None:
    """They are refused with what they would have to be."""
    answer = Panel().ask("GET", f"/v1/received?{query}")
    assert answer.error == (400, "M_INVALID_PARAM")
    assert answer.json["error"] == error


GOOD = ["limit=0", "limit=1000", "limit=", "wait=", "wait=0", "wait=0.", "wait=.0"]


@cases("query", ((each, each) for each in GOOD))
def test_good(query: str) -> None:
    """At a bound they are used; an empty one is the default."""
    assert Panel().ask("GET", f"/v1/received?{query}").status == 200


def test_least() -> None:
    """A number has a least value where that is not 0."""
    answer = Panel().ask("GET", "/metrics?worker=0")
    assert answer.error == (400, "M_INVALID_PARAM")
    assert answer.json["error"] == "`worker` is 0; give 1 at least"

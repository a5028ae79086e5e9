"""Who may use the control API, and who may not."""

from collections.abc import Sequence

import pytest

from homeserver.control.access import TokenGuard
from homeserver.control.routes import OPEN_TEMPLATES
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Route, Router
from tests.support.control_side import AUTHORIZATION, HOST, METRICS, TOKEN, Panel
from tests.support.http_connection import Answer, Connection, ask, request, site
from tests.support.tables import cases


async def tell(_: Request) -> Reply:
    """Tell what is behind the guard."""
    return json_reply({"told": True})


def tree(*hosts: str) -> Router:
    """Routes that are guarded; `hosts` may stand in `Host`."""
    routes = [Route("GET", "/", tell), Route("POST", "/", tell)]
    return Router(routes, TokenGuard(TOKEN, hosts=hosts).check)


def guarded(*headers: str, method: str = "GET") -> Answer:
    """The answer of a guarded resource."""
    return ask(site(tree()), method, "/", headers)


@pytest.mark.parametrize("target", ["/", "/nothing", "/nothing/there"])
def test_what_is_there_is_not_told(target: str) -> None:
    """Without the token, what is there and what is not look alike."""
    answer = ask(site(tree()), "GET", target, [HOST])
    assert answer.error == (401, "M_MISSING_TOKEN")
    wrong = ask(site(tree()), "PATCH", target, [HOST])
    assert wrong.error == (401, "M_MISSING_TOKEN")


def test_token() -> None:
    """Who has the token is let through."""
    assert guarded(HOST, AUTHORIZATION).json == {"told": True}


def test_metrics() -> None:
    """A monitor with the token reads the metrics, in its own format."""
    panel = Panel()
    answer = panel.ask("GET", "/metrics")
    assert (answer.status, answer.body) == (200, METRICS)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    refused = ask(panel.site, "GET", "/metrics", [HOST])
    assert refused.error == (401, "M_MISSING_TOKEN")


TOKENS: list[tuple[str, list[str], str]] = [
    ("none", [], "M_MISSING_TOKEN"),
    ("empty", ["Authorization:"], "M_UNKNOWN_TOKEN"),
    ("another", ["Authorization: Bearer other"], "M_UNKNOWN_TOKEN"),
    ("shorter", [AUTHORIZATION[:-1]], "M_UNKNOWN_TOKEN"),
    ("longer", [AUTHORIZATION + "x"], "M_UNKNOWN_TOKEN"),
    ("in other letters", [f"Authorization: Bearer {TOKEN.upper()}"], "M_UNKNOWN_TOKEN"),
    ("after another scheme", [f"Authorization: Bearerx {TOKEN}"], "M_UNKNOWN_TOKEN"),
    ("after no blank", [f"Authorization: Bearer{TOKEN}"], "M_UNKNOWN_TOKEN"),
    ("after a tab", [f"Authorization: Bearer\t{TOKEN}"], "M_UNKNOWN_TOKEN"),
    ("scheme alone", ["Authorization: Bearer"], "M_UNKNOWN_TOKEN"),
    ("without a scheme", [f"Authorization: {TOKEN}"], "M_UNKNOWN_TOKEN"),
    ("of another scheme", [f"Authorization: Basic {TOKEN}"], "M_UNKNOWN_TOKEN"),
    ("X-Matrix", ['Authorization: X-Matrix origin="a"'], "M_UNKNOWN_TOKEN"),
    ("not ASCII", ["Authorization: Bearer \xff"], "M_UNKNOWN_TOKEN"),
    ("twice", [AUTHORIZATION] * 2, "M_UNKNOWN_TOKEN"),
    (
        "beside another",
        ["Authorization: Bearer other", AUTHORIZATION],
        "M_UNKNOWN_TOKEN",
    ),
]


@cases("headers errcode", TOKENS)
def test_bad_token(headers: Sequence[str], errcode: str) -> None:
    """Who has not the token is refused, and is not told what it is."""
    answer = guarded(HOST, *headers)
    assert answer.error == (401, errcode)
    assert TOKEN.encode() not in answer.body


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])
def test_scheme_in_any_case(scheme: str) -> None:
    """The scheme is read in any case, and with more than one space behind it."""
    assert guarded(HOST, f"Authorization: {scheme} {TOKEN}").status == 200


def test_token_in_the_query_is_none() -> None:
    """A token is taken from the header alone, as targets end up in logs."""
    root = tree()
    answer = ask(site(root), "GET", f"/?access_token={TOKEN}", [HOST])
    assert answer.error == (401, "M_MISSING_TOKEN")


ORIGINS = [
    "",
    "null",
    "https://evil.example",
    "http://localhost",
    "http://127.0.0.1",
    "http://127.0.0.1:80",
    "http://127.0.0.1:80080",
    "http://127.0.0.1:8008/",
    "https://127.0.0.1:8008",
    "HTTP://127.0.0.1:8008",
    "http://127.0.0.1:8008 https://evil.example",
    "http://user@127.0.0.1:8008",
]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_origin(method: str, origin: str) -> None:
    """A web page is refused, wherever it is from and whatever it knows."""
    answer = guarded(HOST, AUTHORIZATION, f"Origin: {origin}", method=method)
    assert answer.status == 403


OWN = [("127.0.0.1:8008", "http://127.0.0.1:8008"), ("[::1]:80", "http://[::1]:80")]
OWN += [("localhost", "http://localhost"), ("LocalHost:1", "http://localhost:1")]
OWN += [("my_lab:8008", "http://my_lab:8008")]


@pytest.mark.parametrize(("host", "origin"), OWN)
def test_own_origin(host: str, origin: str) -> None:
    """A page that this server itself has served is let through, with the token."""
    own = site(tree("my_lab"))
    headers = [f"Host: {host}", f"Origin: {origin}"]
    assert ask(own, "GET", "/", [*headers, AUTHORIZATION]).status == 200
    assert ask(own, "GET", "/", headers).status == 401
    foreign = [*headers, "Origin: https://evil.example", AUTHORIZATION]
    assert ask(own, "GET", "/", foreign).status == 403


def test_origin_of_a_foreign_host() -> None:
    """An origin that equals its `Host` is refused all the same if that is foreign."""
    answer = guarded("Host: evil.example", "Origin: http://evil.example", AUTHORIZATION)
    assert answer.error == (403, "M_FORBIDDEN")


def test_origin_without_a_host() -> None:
    """Without a `Host`, no origin is this server's own."""
    connection = Connection(site(tree()))
    lines = f"GET / HTTP/1.0\r\nOrigin: http://\r\n{AUTHORIZATION}\r\n\r\n"
    connection.send(lines.encode())
    assert [answer.status for answer in connection.answers()] == [403]


@pytest.mark.parametrize("host", ["lab", "LAB:8008", "a_b.internal", "lab:"])
def test_configured_host(host: str) -> None:
    """A configured name stands in `Host`, with any port and in any case."""
    headers = [f"Host: {host}", AUTHORIZATION]
    assert ask(site(tree("lab", "A_B.internal")), "GET", "/", headers).status == 200


@pytest.mark.parametrize("host", ["lab.evil.example", "xlab", "a", "lab.", "a_b"])
def test_other_host_than_configured(host: str) -> None:
    """A name that only resembles a configured one is refused, and is told why."""
    headers = [f"Host: {host}", AUTHORIZATION]
    answer = ask(site(tree("lab")), "GET", "/", headers)
    assert answer.error == (403, "M_FORBIDDEN")
    assert "`hosts` of [control]" in str(answer.json["error"])


LOCAL = [
    "127.0.0.1",
    "127.0.0.1:8008",
    "127.0.0.1:80",
    "192.0.2.1:8008",
    "[::1]",
    "[::1]:8008",
    "[2001:db8::1]:8008",
    "localhost",
    "localhost:8008",
]


@pytest.mark.parametrize("host", LOCAL)
def test_local_host(host: str) -> None:
    """An address is nobody's name, and `localhost` nobody else's."""
    assert guarded(f"Host: {host}", AUTHORIZATION).status == 200


FOREIGN = [
    "",
    "evil.example",
    "evil.example:8008",
    "us.example",
    "localhost.evil.example",
    "evil.localhost",
    "localhost.",
    "127.0.0.1.evil.example",
    "127.1",
    "0x7f.1",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign_host(host: str) -> None:
    """A name that somebody else's DNS could turn to us is refused, token or not."""
    assert guarded(f"Host: {host}", AUTHORIZATION).error == (403, "M_FORBIDDEN")
    assert guarded(f"Host: {host}").error == (403, "M_FORBIDDEN")


MALFORMED = [
    "127.0.0.1@evil.example",
    "127.0.0.1:8008:8008",
    "::1",
    "[::1",
    "\xe4.example",
]


@pytest.mark.parametrize("host", MALFORMED)
def test_what_is_no_host(host: str) -> None:
    """What is no host is refused for that already."""
    assert guarded(f"Host: {host}", AUTHORIZATION).error == (400, "M_UNKNOWN")


def test_one_of_two_hosts() -> None:
    """A second `Host` makes no first one good."""
    answer = guarded(HOST, "Host: evil.example", AUTHORIZATION)
    assert answer.error == (400, "M_UNKNOWN")


@pytest.mark.parametrize(
    ("authority", "host", "status"),
    [("evil.example", "localhost", 403), ("127.0.0.1:8008", "evil.example", 200)],
)
def test_authority_of_the_target(authority: str, host: str, status: int) -> None:
    """The authority of a target stands in place of `Host`."""
    headers = [f"Host: {host}", AUTHORIZATION]
    answer = ask(site(tree()), "GET", f"http://{authority}/", headers)
    assert answer.status == status


def test_without_host() -> None:
    """A client of HTTP/1.0 without a Host, which no browser is, needs the token."""
    connection = Connection(site(tree()))
    connection.send(f"GET / HTTP/1.0\r\n{AUTHORIZATION}\r\n\r\n".encode())
    assert [answer.status for answer in connection.answers()] == [200]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([HOST], 401),
        ([HOST, "Authorization: Bearer x"], 401),
        ([HOST, AUTHORIZATION, "Origin: null"], 403),
        (["Host: evil.example", AUTHORIZATION], 403),
    ],
)
def test_routes_are_guarded(headers: list[str], status: int) -> None:
    """Every route but `/health` wants the token."""
    panel = Panel()
    for each in panel.table:
        if each.template not in OPEN_TEMPLATES:
            path = each.template.replace("{destination}", "them.example")
            answer = ask(panel.site, each.method, path, headers, b'{"pdus":[]}')
            assert answer.status == status, path
    stored = panel.database.connection.execute("SELECT * FROM outbound_entries")
    assert stored.fetchall() == []


def test_health_needs_no_token() -> None:
    """A monitor asks for `/health` without a token, but not a web page."""
    panel = Panel()
    assert ask(panel.site, "GET", "/health", [HOST]).status == 200
    assert ask(panel.site, "GET", "/health", [HOST, "Origin: null"]).status == 403
    assert ask(panel.site, "GET", "/health", ["Host: evil.example"]).status == 403


def test_refused_request_is_not_read() -> None:
    """A body that nobody may send is not even looked at."""
    connection = Connection(Panel().site)
    connection.send(request("POST", "/v1/send/them.example", [HOST], b"{"))
    [answer] = connection.answers()
    assert answer.error == (401, "M_MISSING_TOKEN")

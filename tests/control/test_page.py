"""The page's files: what is served without a token, and what is in them."""

import re
from importlib.resources import files

import pytest

from homeserver.control.page.routes import POLICY
from tests.support.control_side import HOST, Panel
from tests.support.http_connection import Connection, ask, request

FILES = sorted(files("homeserver.control.page").joinpath("files").iterdir(), key=str)
NAMES = [each.name for each in FILES]


@pytest.mark.parametrize("name", ["", *(f"page/{name}" for name in NAMES)])
def test_a_file_needs_no_token(name: str) -> None:
    """The page and each file of it are served as what they are, with their policy."""
    answer = ask(Panel().site, "GET", f"/{name}", [HOST])
    assert answer.status == 200
    kind = {"": "text/html", "html": "text/html", "css": "text/css"}
    kind |= {"js": "text/javascript", "svg": "image/svg+xml"}
    shown = answer.headers["content-type"].removesuffix("; charset=utf-8")
    assert shown == kind[name.rpartition(".")[2]]
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    assert (
        answer.body
        == (
            next(each for each in FILES if each.name == (name[5:] or "index.html"))
        ).read_bytes()
    )


def test_the_policy_allows_our_files_alone() -> None:
    """Nothing is inline, nothing is elsewhere, and no text becomes code."""
    told = dict(each.split(" ", 1) for each in POLICY.split("; "))
    allowed = {name for name, value in told.items() if value == "'self'"}
    assert allowed == {"script-src", "style-src", "img-src", "connect-src"}
    assert told["require-trusted-types-for"] == "'script'"
    others = told.keys() - allowed - {"require-trusted-types-for"}
    assert {told[each] for each in others} == {"'none'"}
    assert {"default-src", "base-uri", "form-action", "frame-ancestors"} <= others


STRANGE = ["none.js", "..%2froutes.py", "%2e%2e", "index.html%00", "%ff", "INDEX.HTML"]


@pytest.mark.parametrize("name", STRANGE)
def test_no_other_file(name: str) -> None:
    """What is no file of the page is not there, however it is written."""
    answer = ask(Panel().site, "GET", f"/page/{name}", [HOST])
    assert answer.error == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("target", ["/", "/page/main.js"])
def test_the_page_is_not_for_other_pages(target: str) -> None:
    """A foreign `Host` or `Origin` is refused, as at every route."""
    panel = Panel()
    foreign = ask(panel.site, "GET", target, ["Host: evil.example"])
    assert foreign.error == (403, "M_FORBIDDEN")
    foreign = ask(panel.site, "GET", target, [HOST, "Origin: http://evil.example"])
    assert foreign.error == (403, "M_FORBIDDEN")
    own = ask(panel.site, "GET", target, [HOST, "Origin: http://127.0.0.1:8008"])
    assert own.status == 200


def test_only_read() -> None:
    """The page is fetched and nothing else; HEAD has its head alone."""
    panel = Panel()
    assert panel.ask("POST", "/").error == (405, "M_UNRECOGNIZED")
    connection = Connection(panel.site)
    connection.send(request("HEAD", "/page/style.css", [HOST]))
    [answer] = connection.answers(to_head=True)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize("file", FILES, ids=lambda each: each.name)
def test_a_file_needs_nothing_else(file: object) -> None:
    """No file has another address, inline code, or a way to make nodes out of text."""
    text = next(each for each in FILES if each == file).read_text("utf-8")
    addresses = set(re.findall(r"[a-z]+://[^\s\"'`)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|Function\("
    )
    assert not re.search(forbidden, text)
    assert not re.search(r"<[a-z]+[^>]*\s(style|on[a-z]+)=", text)
    for name in re.findall(r"/page/([\w.]+)", text):
        assert name in NAMES

"""The pictures of the page in `docs/images/`, taken of a lab with some traffic.

Rules: each picture shows one thing that the papers tell. A person looks at them before
they are committed.
"""

import shutil
import subprocess
from pathlib import Path

from homeserver.testing import Lab, Server
from tests.support.browser_tab import Tab
from tests.support.chromium import PROGRAM, Browser

FOLDER = Path(__file__).parent.parent / "docs" / "images"

_PNGQUANT = shutil.which("pngquant")
_OPTIONS = ("--disable-lcd-text",)  # text in shades of one colour

_SEND = "/_matrix/federation/v1/send/"


def main() -> None:
    """Take all of them."""
    if PROGRAM is None or _PNGQUANT is None:
        raise SystemExit(
            "chromium and pngquant are needed; on Debian: apt install chromium pngquant"
        )
    FOLDER.mkdir(exist_ok=True)
    with Lab("--seed", "pictures") as lab, Browser(1280, 720, *_OPTIONS) as browser:
        young = lab.server("young.example")
        alpha, beta = lab.server("alpha.lab.test"), lab.server("beta.lab.test")
        _happen(young, alpha, beta)
        lab.quiet()
        tab = browser.open(f"{lab.control}/#token={lab.link.token}")
        tab.resize(1280, 640)
        _take(tab, alpha, beta, young, _forked(lab, young))


def _happen(young: Server, alpha: Server, beta: Server) -> None:
    """A server with a mistake in what it signs, and one retry."""
    young.request(alpha.name, "/_matrix/key/v2/server")
    young.request(
        alpha.name,
        f"{_SEND}room%21one",
        method="PUT",
        content={"origin": young.name, "origin_server_ts": 1, "pdus": []},
        sign={"uri": f"{_SEND}room!one"},
    )
    beta.rule({"http.status": 503}, match={"method": "PUT"}, times=1)
    typing = {"room_id": "!r:young.example", "user_id": "@a:young.example"}
    edu = {"edu_type": "m.typing", "content": typing | {"typing": True}}
    young.send(beta.name, edus=[edu])
    young.send(alpha.name, edus=[edu])


def _forked(lab: Lab, young: Server) -> str:
    """The ID of a room with a fork that has been merged."""
    rooms = ["v1", "servers", young.name, "rooms"]
    made = lab.link.call("POST", *rooms, content={"topic": "Before"})
    room = str(made["room_id"])

    def send(kind: str, **members: object) -> None:
        content = {"type": kind, "content": {}} | members
        lab.link.call("POST", *rooms, room, "events", content=content)

    for topic in ("One", "The other"):
        prev = {"prev_events": made["extremities"], "state_key": ""}
        send("m.room.topic", content={"topic": topic}, **prev)
    for text in ("Which topic is it?", "The later one."):
        send("m.room.message", content={"msgtype": "m.text", "body": text})
    return room


def _take(tab: Tab, alpha: Server, beta: Server, young: Server, room: str) -> None:
    tab.prefer("light")
    tab.wait_for_text("#status", "live")
    tab.choose("[aria-label=Kind]", "request")
    tab.evaluate("document.querySelector('.rows').scrollTop = 0")
    tab.click(".row .state", "bad_signature")
    tab.wait_for("document.querySelector('.detail table.diff') !== null")
    _save(tab, "timeline")

    tab.evaluate(f"location.hash = '#/servers/{beta.name}'")
    tab.wait_for("document.querySelector('form.fault') !== null")
    tab.choose("#fault", "http.drop-reply")
    _save(tab, "servers")

    tab.evaluate(f"location.hash = '#/reports/{alpha.name}/{young.name}'")
    tab.wait_for("document.querySelector('.panel table') !== null")
    _save(tab, "report")

    tab.evaluate(f"location.hash = '#/rooms/{young.name}/' + {room!r}")
    tab.click(".graph li:last-child button")
    tab.wait_for("document.querySelector('.event-detail pre') !== null")
    _save(tab, "room")

    tab.prefer("dark")
    tab.resize(400, 720)
    tab.evaluate("location.hash = '#/timeline'")
    tab.wait_for("document.querySelectorAll('.row').length > 5")
    _save(tab, "narrow")


def _save(tab: Tab, name: str) -> None:
    # The lanes are drawn some time after the list.
    tab.evaluate("new Promise((done) => setTimeout(done, 800))")
    path = FOLDER / f"{name}.png"
    tab.screenshot(path)
    # A screen of text needs no more than 64 colours, and takes a third of the bytes.

    subprocess.run(
        [str(_PNGQUANT), "--force", "--output", path, "64", path], check=True
    )
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

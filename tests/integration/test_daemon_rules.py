"""`[lab] rules` in the configuration of a daemon, and a daemon without it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from homeserver.config import reader
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import parse_v2
from scripts.processes import LOOPBACK, Endpoint, first_line, homeserver, make_endpoint
from tests.support.eventually import eventually
from tests.support.foreign_clients import Asked, Got, curl

NAME = "alpha.test"
RULE: dict[str, Any] = {"do": {"http.status": 503}}
REQUEST: dict[str, Any] = {
    "destination": f"{LOOPBACK}:1",
    "method": "GET",
    "path": "/_matrix/federation/v1/version",
}
SERVER = f"/v1/servers/{NAME}"

ROUTES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/v1/rules", None),
    ("POST", "/v1/rules", RULE),
    ("PUT", "/v1/rules", {"rules": [RULE]}),
    ("DELETE", "/v1/rules", None),
    ("DELETE", "/v1/rules/1", None),
    ("GET", f"{SERVER}/rules", None),
    ("POST", f"{SERVER}/rules", RULE),
    ("PUT", f"{SERVER}/rules", {"rules": [RULE]}),
    ("DELETE", f"{SERVER}/rules", None),
    ("DELETE", f"{SERVER}/rules/1", None),
    ("GET", "/v1/faults", None),
    ("POST", f"{SERVER}/request", REQUEST),
    ("POST", f"{SERVER}/request", REQUEST | {"spoil": ["signature"]}),
    ("POST", f"{SERVER}/request", REQUEST | {"sign": {"uri": "/"}}),
    ("POST", f"{SERVER}/sign", {"event": {}, "room_version": "11"}),
    ("POST", f"{SERVER}/rooms/!none:{NAME}/forge", {"type": "m.x", "sender": "@a:b"}),
    ("GET", "/v1/exchanges", None),
    ("GET", "/v1/exchanges/1", None),
    ("GET", "/v1/exchanges.har", None),
    ("DELETE", "/v1/exchanges", None),
    ("POST", "/v1/expect", {"match": {}, "within": 0}),
    ("POST", "/v1/quiet", {"for": 0, "within": 1}),
]


class Daemon:
    """A daemon that runs."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        config = reader.load(endpoint.configuration)
        self.url = f"http://{config.control.listen}"
        self._token = config.control.token_file.read_text("ascii").strip()

    def ask(self, method: str, path: str, content: object = None) -> tuple[int, Any]:
        """The status and the JSON of an answer of the control API."""
        body = None if content is None else json.dumps(content).encode("ascii")
        headers = {"Authorization": f"Bearer {self._token}"}
        request = Request(self.url + path, body, headers, method=method)
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as problem:
            with problem:
                return problem.code, json.loads(problem.read())

    def get(self, path: str) -> Got:
        """What curl gets; it trusts the certificate of the endpoint."""
        where = f"{LOOPBACK}:{self.endpoint.port}"
        certificate = str(self.endpoint.folder / "tls.crt")
        return curl(Asked(where, NAME, certificate, path))

    def version(self) -> tuple[int, str]:
        """The status and the error of a request."""
        got = self.get("/_matrix/federation/v1/version")
        return got.status, got.error


def running(folder: Path, configuration: str) -> Iterator[Daemon]:
    """A daemon of a configuration."""
    endpoint = make_endpoint(folder, NAME, configuration)
    with endpoint.running() as process:
        first_line(process)
        yield Daemon(endpoint)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon as it comes."""
    yield from running(tmp_path_factory.mktemp("plain"), "")


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose configuration allows rules."""
    folder = tmp_path_factory.mktemp("ruled")
    allow = f'[network]\nallow = ["{LOOPBACK}/32"]\n'
    yield from running(folder, f"{allow}[lab]\nrules = true\n")


@pytest.mark.parametrize(("method", "path", "content"), ROUTES)
def test_without_the_key_all_is_refused(
    plain: Daemon, method: str, path: str, content: object
) -> None:
    """The refusal names the key; nothing has happened."""
    status, answer = plain.ask(method, path, content)
    assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")
    assert "`[lab] rules = true`" in answer["error"]
    assert plain.version() == (200, "")


def test_with_the_key_other_routes_are_unknown(ruled: Daemon) -> None:
    """A route that no lab has is not said to need the key."""
    for path in ("/v1/request", "/v1/sign", "/v1/exchanges/1/2"):
        status, answer = ruled.ask("POST", path, {})
        assert (status, answer["errcode"]) == (404, "M_UNRECOGNIZED"), answer


SEND: list[dict[str, Any]] = [{"spoil": ["signature"]}, {"sign": {"uri": "/"}}]
EDUS = {"edus": [{"edu_type": "m.x", "content": {}}]}


@pytest.mark.parametrize("members", SEND, ids=str)
def test_sending_what_is_wrong(
    plain: Daemon, ruled: Daemon, members: dict[str, Any]
) -> None:
    """A queued transaction is spoiled with the key alone."""
    # A spoiled transaction needs an empty queue.
    path = f"/v1/send/{LOOPBACK}:{1 + SEND.index(members)}"
    status, answer = plain.ask("POST", path, EDUS | members)
    assert 400 <= status < 500
    assert "`[lab] rules = true`" in answer["error"]
    status, answer = ruled.ask("POST", path, EDUS | members)
    assert status == 202, answer


def test_without_the_key_nothing_is_said(plain: Daemon) -> None:
    """`/health` has no remark, and a wrong token is refused first."""
    assert plain.ask("GET", "/health") == (200, {"status": "ok"})
    bare = Request(f"{plain.url}/v1/rules")
    with pytest.raises(HTTPError, match="401"):
        urlopen(bare, timeout=60)


def test_the_key_is_told(ruled: Daemon) -> None:
    """`/health` says so, and the log."""
    _, answer = ruled.ask("GET", "/health")
    assert any("lab.rules" in each for each in answer["remarks"])
    assert "lab.rules" in ruled.endpoint.log.read_text("utf-8")


@pytest.mark.parametrize(("method", "path", "content"), ROUTES)
def test_with_the_key_all_is_answered(
    ruled: Daemon, method: str, path: str, content: object
) -> None:
    """Each route does what it does in a lab."""
    status, answer = ruled.ask(method, path, content)
    if path.endswith(("/1", "/sign", "/forge", "/expect")):
        # There is no such rule, exchange or room, or the event is none.
        assert answer.get("errcode") not in {"M_FORBIDDEN", "M_UNRECOGNIZED"}, answer
    else:
        assert status in {200, 201}, answer
    ruled.ask("DELETE", "/v1/rules")
    ruled.ask("DELETE", f"{SERVER}/rules")


FAULTS: list[tuple[dict[str, Any], tuple[int, str]]] = [
    ({"http.status": 503}, (503, "")),
    ({"tls.alert": True}, (0, "handshake failure")),
    ({"tls.certificate": "expired"}, (0, "SSL certificate problem")),
    ({"vary.chunked": True}, (200, "")),
]


@pytest.mark.parametrize(("do", "expected"), FAULTS)
def test_faults_act(
    ruled: Daemon, do: dict[str, Any], expected: tuple[int, str]
) -> None:
    """A client meets them until the rule ends."""
    _, rule = ruled.ask("POST", f"{SERVER}/rules", {"do": do})
    status, error = ruled.version()
    assert status == expected[0]
    assert expected[1] in error
    _, listed = ruled.ask("GET", f"{SERVER}/rules")
    assert [each["acted"] for each in listed["rules"]] == [1]
    assert ruled.ask("DELETE", f"{SERVER}/rules/{rule['id']}")[0] == 200
    assert ruled.version() == (200, "")


def test_a_rule_is_told_whole(ruled: Daemon) -> None:
    """Whatever it was made with is shown, and what does nothing is left out."""
    how = {"times": 4, "skip": 2, "every": 3, "chance": 0.5, "also": True}
    content = {"do": {"http.status": 503}, "match": {"method": "PUT"}}
    _, made = ruled.ask("POST", "/v1/rules", content | how)
    _, plain = ruled.ask("POST", "/v1/rules", content)
    counts = {"matched": 0, "acted": 0}
    assert made == {"id": made["id"], **counts, **content, **how}
    assert plain == {"id": plain["id"], **counts, **content, "times": None}
    assert ruled.ask("GET", "/v1/rules")[1] == {"rules": [made, plain]}
    done = homeserver("fault", "list", "-c", str(ruled.endpoint.configuration))
    assert done.stdout.splitlines()[0].endswith(
        "http.status 503, method PUT, skip 2, every 3, chance 0.5, also; matched 0, "
        "acted 0 of 4"
    )
    ruled.ask("DELETE", "/v1/rules")


def test_a_reader_that_waits_holds_no_daemon_up(tmp_path: Path) -> None:
    """It gets its answer when the daemon ends."""
    path = "/v1/exchanges?after=1000000&wait=60"
    started = contextmanager(running)(tmp_path, "[lab]\nrules = true\n")
    with ThreadPoolExecutor(1) as pool:
        with started as daemon:

            def connections() -> int:
                _, answer = daemon.ask("GET", "/v1/bounds")
                uses = {each["name"]: each["use"] for each in answer["bounds"]}
                return int(uses["control_connections"])

            waiting = pool.submit(daemon.ask, "GET", path)
            eventually(lambda: connections() == 2)
        assert waiting.result() == (200, {"exchanges": [], "next": 1000000})


def test_keys_of_faults(ruled: Daemon) -> None:
    """A key document is signed again with the daemon's own key."""
    ruled.ask("POST", f"{SERVER}/rules", {"do": {"keys.valid_until": 5}, "times": 1})
    body = ruled.get("/_matrix/key/v2/server").body
    document = parse_v2(body, ServerName.parse(NAME))
    assert (document.valid_until_ts, len(document.verify_keys)) == (5, 1)
    ruled.ask("DELETE", f"{SERVER}/rules")


def test_a_wrong_request(ruled: Daemon) -> None:
    """A daemon refuses the signature of its own, which it spoils on purpose."""
    body = {
        **REQUEST,
        "destination": f"{LOOPBACK}:{ruled.endpoint.port}",
        "method": "PUT",
        "path": "/_matrix/federation/v1/send/1",
        "content": {"origin": NAME, "origin_server_ts": 1, "pdus": []},
        "spoil": ["no-auth"],
    }
    status, answer = ruled.ask("POST", f"{SERVER}/request", body)
    assert (status, answer["expected"] != []) == (200, True)
    _, exchange = ruled.ask("GET", f"/v1/exchanges/{answer['exchange']}")
    assert (exchange["direction"], exchange["method"]) == ("out", "PUT")


def test_the_record(ruled: Daemon) -> None:
    """What passes is in a record, with its details, until that is forgotten."""
    ruled.version()
    match = {"server": NAME, "path": "*/version", "direction": "in", "status": "2*"}
    status, found = ruled.ask("POST", "/v1/expect", {"match": match})
    assert status == 200
    _, whole = ruled.ask("GET", f"/v1/exchanges/{found['matched'][0]['id']}")
    assert '"version"' in whole["response"]["body"]
    configuration = str(ruled.endpoint.configuration)
    done = homeserver("exchanges", "-c", configuration, "--path", "*/version")
    assert "GET /_matrix/federation/v1/version: 200" in done.stdout
    _, bounds = ruled.ask("GET", "/v1/bounds")
    assert "recorded_bytes" in {each["name"] for each in bounds["bounds"]}
    _, forgotten = ruled.ask("DELETE", "/v1/state?of=exchanges")
    assert forgotten["forgotten"]["exchanges"] >= 1
    assert ruled.ask("GET", "/v1/exchanges")[1] == {"exchanges": [], "next": 0}


def test_what_a_daemon_cannot(ruled: Daemon) -> None:
    """It has no name server, and no other servers."""
    status, answer = ruled.ask("POST", "/v1/rules", {"do": {"dns.empty": True}})
    assert (status, answer["errcode"]) == (400, "M_BAD_JSON")
    assert "name server" in answer["error"]
    status, answer = ruled.ask("POST", "/v1/servers/beta.test/rules", RULE)
    assert status == 404
    assert NAME in answer["error"]


def test_the_command(ruled: Daemon) -> None:
    """`homeserver fault` takes the configuration of a daemon."""
    configuration = str(ruled.endpoint.configuration)
    done = homeserver("fault", "add", "-c", configuration, "http.status", "503")
    assert done.returncode == 0, done.stderr
    assert ruled.version() == (503, "")
    done = homeserver("fault", "remove", "-c", configuration)
    assert done.returncode == 0, done.stderr
    assert ruled.version() == (200, "")


def test_several_workers_have_no_rules(tmp_path: Path) -> None:
    """Rules are those of one process; the message names the key."""
    configuration = "[lab]\nrules = true\n[run]\nworkers = 2\n"
    endpoint = make_endpoint(tmp_path / "alpha", NAME, configuration)
    done = endpoint.call("run")
    assert done.returncode == 2
    assert "lab.rules: needs one worker" in done.stderr
    text = endpoint.configuration.read_text("utf-8")
    endpoint.configuration.write_text(text.replace("workers = 2", "workers = 1"))
    done = endpoint.call("run", "--workers", "2")
    assert done.returncode == 2
    assert "lab.rules: needs one worker" in done.stderr

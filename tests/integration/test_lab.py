"""A lab as a process: how it starts, what its servers do, and how it ends."""

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from homeserver.cli.lab import lab as command
from homeserver.lab.authority.faults import CERTIFICATE_FAULTS
from homeserver.testing import ExpectationFailed, Lab, LabError, Server

VERSION = "/_matrix/federation/v1/version"
PROFILE = "/_matrix/federation/v1/query/profile?user_id=@a:b&field=displayname"


def resident_kilobytes(pid: int) -> int:
    """The memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    [memory] = re.findall(r"VmRSS:\s+(\d+) kB", status)
    return int(memory)


def pid_of(lab: Lab) -> int:
    """The process of a lab."""
    assert lab._process is not None
    return lab._process._process.pid


def start(*options: str) -> subprocess.CompletedProcess[str]:
    """A lab that does not start, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "homeserver", "lab", *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_start_tells_where_everything_is() -> None:
    """One line of JSON has it all; what is started is light, and leaves nothing."""
    with Lab() as lab:
        process = lab._process
        assert process is not None
        assert process.whereabouts.keys() == {
            "control",
            "token",
            "listen",
            "dns",
            "zone",
            "ca_file",
            "ca_pem",
            "version",
        }
        assert resident_kilobytes(pid_of(lab)) < 75_000
        ca_file = Path(process.whereabouts["ca_file"])
        assert ca_file.read_text() == lab.ca_pem
    assert not ca_file.parent.exists()


def test_a_start_in_text() -> None:
    """Without --json, each fact has a line."""
    command = [sys.executable, "-m", "homeserver", "lab", "--zone", "Other.Test"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline().split(": ") for _ in range(7)]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""  # what a lab trusts is no news
    names = ["control", "token", "listen", "dns", "zone", "ca_file", "page"]
    assert [name for name, _ in lines] == names
    told = {name: value.strip() for name, value in lines}
    assert told["page"] == f"{told['control']}/#token={told['token']}"


NOT_STARTED: list[tuple[list[str], str]] = [
    (["--control", "0.0.0.0:0"], "others can reach it, so give it a token"),
    (["--listen", "localhost:0"], "--listen:"),
    (
        ["--listen", "192.0.2.1:0"],
        "--listen: 192.0.2.1:0: Cannot assign requested address; this machine does not",
    ),
    (
        ["--dns", "192.0.2.1:0"],
        "--dns: 192.0.2.1:0: Cannot assign requested address; this machine does not",
    ),
    (["--control", "192.0.2.1:0"], "others can reach it"),
    (["--zone", "a..b"], "`--zone` is not a DNS name"),
    (["--allow", "10.0.0.1/8"], "--allow:"),
    (["--trust", "/dev/null"], "--trust: it has no PEM certificates in it"),
    (["--record", "/proc/none"], "--record:"),
    (["--data", "/dev/null/x"], "--data:"),
]


@pytest.mark.parametrize(
    ("options", "why"), NOT_STARTED, ids=[" ".join(row[0]) for row in NOT_STARTED]
)
def test_a_lab_that_cannot_start_says_why(options: list[str], why: str) -> None:
    """Exit status 2 comes with one sentence that names the option."""
    done = start(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken() -> None:
    """The sentence has the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        for option in ["--listen", "--control", "--dns"]:
            done = start(option, where)
            assert done.returncode == 2
            assert f"{option}: {where}" in done.stderr
            assert "choose another port, or 0 for a free one" in done.stderr


@pytest.mark.parametrize("token", ["", "two words", "é"])
def test_a_token_is_one_word(token: str, tmp_path: Path) -> None:
    """A token that no header can have is refused, wherever it comes from."""
    (tmp_path / "token").write_text(token)
    for options, environment in [
        (["--token-file", str(tmp_path / "token")], {}),
        ([], {"HOMESERVER_LAB_TOKEN": token}),
    ]:
        done = CliRunner(env=environment).invoke(command, options)
        assert done.exit_code == 2
        assert "no token in it" in done.output


def test_a_given_token_opens_the_control_api(tmp_path: Path) -> None:
    """With a token, others may reach the control API by the names that are told."""
    (tmp_path / "token").write_text("s3cret\n")
    options = ["--token-file", str(tmp_path / "token"), "--control", "0.0.0.0:0"]
    with Lab(*options, "--control-host", "lab") as lab:
        assert lab.link.token == "s3cret"
        port = lab.control.rpartition(":")[2]
        with Lab(url=f"http://127.0.0.1:{port}", token="s3cret") as joined:
            assert joined.ca_pem == lab.ca_pem
            assert joined.server().name.endswith(".lab.test")
        with pytest.raises(LabError, match="not the token"):
            Lab(url=f"http://127.0.0.1:{port}", token="other").start()


def test_the_same_seed_makes_the_same_servers(tmp_path: Path) -> None:
    """Keys, certificates and names follow from the seed, which a folder keeps."""

    def facts(*options: str) -> list[Any]:
        with Lab(*options) as lab:
            server = lab.server("a.lab.test")
            key = [server.key_id, server.verify_key]
            return [lab.ca_pem, server.certificate_sha256, *key]

    data = str(tmp_path / "data")
    one = facts("--seed", "x", "--data", data)
    assert facts("--seed", "x") == one
    assert facts("--data", data) == one
    assert not set(facts("--seed", "y")) & set(one)
    assert (tmp_path / "data" / "seed").stat().st_mode & 0o777 == 0o600
    done = start("--seed", "y", "--data", data)
    assert done.returncode == 2
    assert "--seed: another one is kept here" in done.stderr


def get(server: Server, name: str, context: ssl.SSLContext) -> dict[str, Any]:
    """A key document, fetched by Python's own client from where a server listens."""
    host, _, port = server.listen.rpartition(":")
    plain = socket.create_connection((host.strip("[]"), int(port)), 10)
    with plain, context.wrap_socket(plain, server_hostname=name) as secure:
        connection = HTTPSConnection(name)
        connection.sock = secure
        connection.request("GET", "/_matrix/key/v2/server")
        document: dict[str, Any] = json.loads(connection.getresponse().read())
        return document


NAMES: list[tuple[str, dict[str, str]]] = [
    ("127.0.0.1", {"listen": "own"}),
    ("127.0.0.1", {"name": "127.0.0.1:0", "listen": "own"}),
    ("::1", {"name": "[::1]:0", "listen": "own"}),
    ("localhost", {"name": "localhost:0", "listen": "own"}),
    ("a.lab.test", {"name": "a.lab.test"}),
    ("matrix.org", {"name": "matrix.org"}),
    ("b.lab.test", {"name": "b.lab.test", "listen": "own"}),
]


@pytest.mark.parametrize(("host", "told"), NAMES)
def test_servers_are_what_they_are_told_to_be(
    lab: Lab, host: str, told: dict[str, str]
) -> None:
    """Each kind of name has its keys, and a certificate for strict clients."""
    server = lab.server(**told)
    context = ssl.create_default_context(cadata=lab.ca_pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    document = get(server, host, context)
    assert document["server_name"] == server.name
    assert document["verify_keys"] == {server.key_id: {"key": server.verify_key}}
    assert server.name.partition(":")[0] in {host, "[", "127.0.0.1", "localhost"}
    other = lab.server()
    answer = other.request(server.name, VERSION)
    assert (answer.status, answer.verified_by) == (200, "certificate")
    server.delete(gone=True)


def test_a_request_is_signed_and_recorded(lab: Lab) -> None:
    """A right request is admitted, and both servers' exchanges are in the record."""
    ours, theirs = lab.servers(2)
    answer = ours.request(theirs.name, PROFILE)
    assert (answer.status, answer.content["errcode"]) == (404, "M_NOT_FOUND")
    shown = lab.exchange(answer.exchange)
    assert shown["server"] == ours.name
    assert json.loads(shown["response"]["body"]) == answer.content
    [arrived] = theirs.expect(path="*/query/profile", status=404)
    assert arrived.peer == ours.name
    details = lab.exchange(arrived.id)
    assert details["tls"]["sni"] == theirs.name
    assert any(name == "Authorization" for name, _ in details["request"]["headers"])
    assert theirs.exchanges(kind="connection", direction="in")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"method": "POST"}, "bad_signature"),
    ({"uri": "/other"}, "bad_signature"),
    ({"content": {}}, "bad_signature"),
    ({"omit": ["uri"]}, "bad_signature"),
    ({"key_id": "ed25519:other"}, "no_usable_key"),
]


@pytest.mark.parametrize(("sign", "reason"), WRONG)
def test_a_wrong_signature_is_refused(
    lab: Lab, sign: dict[str, Any], reason: str
) -> None:
    """What is signed can differ from what is sent; a right server refuses it."""
    ours, theirs = lab.servers(2)
    assert ours.request(theirs.name, PROFILE, sign=sign).status == 401
    [refused] = theirs.expect(status=401)
    assert refused.reason == reason
    unsigned = ours.request(theirs.name, PROFILE, sign=None)
    assert unsigned.status == 401


def test_what_cannot_be_reached_is_a_result(lab: Lab) -> None:
    """No answer is told with its reason."""
    ours = lab.server()
    answer = ours.request("nowhere.lab.test", VERSION, timeout=20)
    assert answer.status is None
    assert answer.reason
    assert "nowhere.lab.test" in (answer.error or "")


def test_keys_change_while_a_server_runs(lab: Lab) -> None:
    """A rotated key is an old one, and the new one signs."""
    ours, theirs = lab.servers(2)
    before = ours.key_id
    ours.change(rotate=True)
    assert ours.key_id != before
    document = theirs.request(ours.name, "/_matrix/key/v2/server").content
    assert list(document["verify_keys"]) == [ours.key_id]
    assert list(document["old_verify_keys"]) == [before]
    assert ours.request(theirs.name, PROFILE).status == 404
    ours.change(keys={"ids": ["ed25519:x", "ed25519:y"], "valid_seconds": 7})
    ours.change(expire="ed25519:x")
    document = theirs.request(ours.name, "/_matrix/key/v2/server").content
    assert list(document["verify_keys"]) == ["ed25519:y"]


@pytest.mark.parametrize("fault", CERTIFICATE_FAULTS)
def test_a_certificate_changes_while_a_server_runs(lab: Lab, fault: str) -> None:
    """The next handshake has the certificate that is told, and a client judges it."""
    ours, theirs = lab.servers(2)
    theirs.change(tls={"certificate": fault})
    answer = ours.request(theirs.name, VERSION)
    if CERTIFICATE_FAULTS[fault].is_refused:
        # It proves itself by its key document, as servers could in 2014.
        assert answer.verified_by == "key-document"
    else:
        assert answer.verified_by == "certificate"
    theirs.change(tls={"certificate": "valid", "chain": "intermediate"})
    assert lab.server().request(theirs.name, VERSION).verified_by == "certificate"


def test_dns_records_and_delegation_change(lab: Lab) -> None:
    """What names lead to is what the test says, from the next question on."""
    target = lab.server("target.lab.test", listen="own")
    port = target.listen.rpartition(":")[2]
    ours, moved = lab.servers(2)
    moved.change(
        dns=[
            {
                "name": f"_matrix._tcp.{moved.name}",
                "type": "SRV",
                "value": f"0 0 {port} target.lab.test",
            }
        ]
    )
    steps = {step["step"] for step in ours.resolve(moved.name)["steps"]}
    assert "srv" in steps
    assert [r["port"] for r in ours.resolve(moved.name)["routes"]] == [int(port)]


def test_a_deleted_server_is_polite(lab: Lab) -> None:
    """It still has its keys and takes transactions, until it is to be gone."""
    ours, theirs = lab.servers(2)
    theirs.delete()
    with pytest.raises(LabError, match="there is no server"):
        theirs.change(rotate=True)
    assert ours.request(theirs.name, "/_matrix/key/v2/server").status == 200
    for path in (VERSION, PROFILE):
        answer = ours.request(theirs.name, path)
        assert (answer.status, answer.content["errcode"]) == (404, "M_NOT_FOUND")
        assert "was deleted" in answer.content["error"]
    assert lab.server().request(ours.name, VERSION).status == 200
    body = {"origin": ours.name, "origin_server_ts": 1, "pdus": []}
    path = "/_matrix/federation/v1/send/1"
    taken = ours.request(theirs.name, path, method="PUT", content=body)
    assert (taken.status, taken.content) == (200, {"pdus": {}})
    theirs.delete(gone=True)
    assert lab.server().request(theirs.name, VERSION).status is None
    again = lab.server(theirs.name)
    assert again.key_id == theirs.key_id
    assert ours.request(theirs.name, VERSION).status == 200


def test_a_server_is_made_with_rules(lab: Lab) -> None:
    """Its rules are in force at once, and a change replaces them, for it alone."""
    down = {"match": {"path": VERSION}, "do": {"http.status": 503}}
    ours, other = lab.servers(2)
    broken = lab.server(rules=[down])
    assert ours.request(broken.name, VERSION).status == 503
    assert ours.request(other.name, VERSION).status == 200
    broken.change(rotate=True)
    assert ours.request(broken.name, VERSION).status == 503
    broken.change(rules=[])
    assert ours.request(broken.name, VERSION).status == 200


def test_a_transaction_is_sent_again(lab: Lab) -> None:
    """A chosen ID and the same bytes arrive twice, and are received once."""
    ours, theirs = lab.servers(2)
    edu = {"edu_type": "m.test", "content": {}}
    sent = ours.send(theirs.name, edus=[edu], txn_id="mine")
    again = ours.send(theirs.name, again=sent.id, now=True)
    assert [sent.txn_id, again.txn_id] == ["mine", "mine"]
    assert (again.id, again.state, again.json["attempts"]) == (sent.id, "delivered", 2)
    both = theirs.expect(method="PUT", txn_id="mine", count=2)
    first, second = (lab.exchange(each.id)["request"]["body"] for each in both)
    assert first == second
    assert len(theirs.received()) == 1


def test_questions_to_the_name_server_are_recorded(lab: Lab) -> None:
    """Each has the server that it is about."""
    server = lab.server()
    host, _, port = lab.dns.rpartition(":")
    name = b"".join(
        bytes([len(part)]) + part.encode()
        for part in f"_matrix._tcp.{server.name}".split(".")
    )
    question = b"\0\7\1\0\0\1\0\0\0\0\0\0" + name + b"\0\0\x21\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10)
        asking.sendto(question, (host, int(port)))
        assert asking.recv(512)[7] == 1
    [asked] = server.expect(kind="dns", direction="in")
    assert (asked.method, asked.path) == ("SRV", f"_matrix._tcp.{server.name}")
    assert asked.json["address"] == "127.0.0.1"
    assert server.name in asked.json["verdict"]


def test_parallel_tests_do_not_see_each_other(lab: Lab) -> None:
    """A hundred tests on one lab find what is theirs, all of it and nothing else."""

    def run(number: int) -> None:
        ours, theirs = lab.servers(2)
        for path in (VERSION, f"/_matrix/federation/v1/none/{number}"):
            ours.request(theirs.name, path)
        theirs.expect(path=f"*/none/{number}", count=1)
        with pytest.raises(ExpectationFailed):
            theirs.expect(path="*/none/*", count=2, within=0)
        seen = theirs.exchanges(kind="request", direction="in")
        assert {each.peer for each in seen} <= {ours.name, None}
        assert {each.server for each in seen} == {theirs.name}
        theirs.quiet(seconds=0.1, within=30)

    with ThreadPoolExecutor(20) as threads:
        for _ in threads.map(run, range(100)):
            pass


def test_a_thousand_servers() -> None:
    """They take little memory, and no thread and no file each."""
    with Lab() as lab:
        check_a_thousand(lab)


def check_a_thousand(lab: Lab) -> None:
    """Make them, and ask one."""
    files = len(list(Path(f"/proc/{pid_of(lab)}/fd").iterdir()))
    servers = lab.servers(1000)
    assert resident_kilobytes(pid_of(lab)) < 100_000
    assert len({server.name for server in servers}) == 1000
    assert len(list(Path(f"/proc/{pid_of(lab)}/fd").iterdir())) < files + 20
    assert servers[0].request(servers[999].name, VERSION).status == 200


BAD_SERVER = "/v1/servers/bad.test"

NEW: list[tuple[Any, str]] = [
    ({"nam": "a"}, "did you mean 'name'?"),
    ({"name": "a b"}, "not a server name"),
    ({"rules": [{"do": {"http.x": 1}}]}, "http.x"),
    ({"name": "A.test"}, "`name`: 'A.test' has capitals"),
    ({"name": "a.test:0"}, "port 0 needs"),
    ({"name": "a.test", "count": 2}, "`name` is for one"),
    ({"count": 0}, "`count` is less than 1"),
    ({"count": 10001}, "`count` is more than 10000"),
    ({"listen": "both"}, "`listen` is 'both', which is"),
    ({"name": "192.0.2.1", "listen": "own"}, "`listen`: 192.0"),
    ({"keys": {"ids": ["x"]}}, "not a key ID"),
    ({"keys": {"ids": ["ed25519:a"] * 2}}, "each ID"),
    ({"tls": {"certificate": "expird"}}, "'expired'?"),
    ({"name": "a.test", "tls": {"certificate": "wildcard"}}, "three labels or more"),
    ({"well_known": {"m.server": "a b"}}, "not a server"),
]

REQUESTS: list[tuple[Any, str]] = [
    ({}, "lacks `destination`"),
    ({"destination": "a", "path": "x"}, "`path` is 'x', which is not a path: `/` and"),
    (
        {"destination": "a", "path": "/x", "method": "Get"},
        "`method` is 'Get', which is not a word in capitals",
    ),
    (
        {"destination": "a", "path": "/x", "query": "a b"},
        "`query` is 'a b', which is not ASCII without spaces",
    ),
    ({"destination": "a", "path": "/x", "headers": {"a b": "c"}}, "`headers`: 'a b'"),
    (
        {"destination": "a", "path": "/x", "headers": {"a": "b\r\nc: d"}},
        "`headers`: 'a' cannot be sent",
    ),
    (
        {"destination": "a", "path": "/x", "sign": {"omit": ["sig"]}},
        "`sign.omit` has 'sig', which is none of",
    ),
]

BAD: list[tuple[str, str, Any, int, str]] = [
    *(("POST", "/v1/servers", content, 400, why) for content, why in NEW),
    *(
        ("POST", f"{BAD_SERVER}/request", content, 400, why)
        for content, why in REQUESTS
    ),
    ("PATCH", BAD_SERVER, {"rules": [{"do": {"http.x": 1}}]}, 400, "http.x"),
    ("GET", "/v1/servers/none.test", None, 404, "there is no server 'none.test'"),
    ("PATCH", "/v1/servers/none.test", {}, 404, "there is no server"),
    ("DELETE", "/v1/servers/none.test", None, 404, "there is no server"),
    ("DELETE", "/v1/servers/none.test?gone=maybe", None, 400, "neither true nor"),
    ("PATCH", BAD_SERVER, {"expire": "ed25519:x"}, 400, "`expire` is"),
    ("PATCH", BAD_SERVER, {"name": "x"}, 400, "no member 'name'"),
]


def count(lab: Lab) -> int:
    """How many servers a lab has."""
    return len(lab.link.call("GET", "v1", "servers")["servers"])


@pytest.fixture(scope="module")
def bad(lab: Lab) -> Server:
    """A server that is asked for what cannot be."""
    return lab.server("bad.test")


@pytest.mark.parametrize("row", BAD, ids=[f"{row[0]} {row[4]}" for row in BAD])
def test_bad_input_is_named(
    lab: Lab, bad: Server, row: tuple[str, str, Any, int, str]
) -> None:
    """An error names the member and what is allowed, and nothing is made."""
    method, target, content, status, why = row
    before = count(lab)
    path, _, query = target.partition("?")
    arguments = dict(part.split("=") for part in query.split("&") if part)
    with pytest.raises(LabError) as raised:
        lab.link.call(
            method, *path.split("/")[1:], content=content, query=arguments, seconds=30
        )
    assert raised.value.status == status
    assert why in str(raised.value)
    assert count(lab) == before


def test_a_name_is_given_once(lab: Lab, bad: Server) -> None:
    """A second server of one name is refused with the way out."""
    with pytest.raises(LabError, match="already; delete it first"):
        lab.server(bad.name)


def test_all_servers_of_a_request_are_made_or_none(lab: Lab) -> None:
    """What fails for one leaves none of the others."""
    before = count(lab)
    with pytest.raises(LabError):
        lab.servers(3, dns=[{"name": "x.test", "type": "A", "value": "bad"}])
    assert count(lab) == before


def test_the_record_goes_to_a_file(tmp_path: Path) -> None:
    """Each exchange is a line, as it comes."""
    path = tmp_path / "record.jsonl"
    with Lab("--record", str(path)) as lab:
        ours, theirs = lab.servers(2)
        ours.request(theirs.name, VERSION)
        theirs.expect(path=VERSION)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert any(line.get("path") == VERSION for line in lines)

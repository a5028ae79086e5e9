"""What strangers can make a daemon hold, and what they are told where that ends."""

import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from scripts.processes import LOOPBACK, Endpoint, first_line, make_endpoint
from tests.support.eventually import HANGING_SECONDS, eventually
from tests.support.http_connection import request
from tests.support.raw_client import Talk, talking
from tests.support.senders import make_known
from tests.support.signed_requests import Peer, signing_key

ALPHA = ServerName.parse("alpha.test")
BETA = Peer(ServerName.parse("beta.test"), signing_key("b_1", b"5"))

SEND = "/_matrix/federation/v1/send/1"
EMPTY: Json = {"pdus": []}


@contextmanager
def running(
    folder: Path, configuration: str = "", within: tuple[str, ...] = ()
) -> Iterator[tuple[Endpoint, int]]:
    """An endpoint that knows beta, and the ID of its process."""
    alpha = make_endpoint(folder / "alpha", ALPHA.name, configuration, within=within)
    with alpha.running() as process:
        first_line(process)
        make_known(alpha.folder / "homeserver.db", ALPHA, BETA)
        yield alpha, process.pid


ELSEWHERE = "127.0.0.2"

MEGABYTE = 2**20

# What is closed before any test ends is not closed for its slowness.
PATIENT = "[limits]\nrequest_seconds = 3000\n"


def put(content: Json = EMPTY, length: int | None = None) -> bytes:
    """A transaction of beta; or its head alone, which announces so many bytes."""
    header = f"Authorization: {BETA.authorize('PUT', SEND, content, destination=ALPHA)}"
    if length is None:
        return request("PUT", SEND, [header], encode(content))
    return request("PUT", SEND, [header, f"Content-Length: {length}"])


def control(alpha: Endpoint) -> tuple[int, str]:
    """The port of the control API, and the header with its token."""
    [line] = [
        line
        for line in alpha.configuration.read_text().split("[control]")[1].splitlines()
        if line.startswith("listen")
    ]
    token = (alpha.folder / "control.token").read_text().strip()
    return int(line.rpartition(":")[2].strip('"')), f"Authorization: Bearer {token}"


@contextmanager
def plainly(port: int) -> Iterator[Talk]:
    """A connection without TLS."""
    with (
        socket.create_connection((LOOPBACK, port), HANGING_SECONDS) as connection,
        connection.makefile("rb") as stream,
    ):
        yield Talk(connection, stream)  # type: ignore[arg-type]


def test_bodies_that_nobody_waits_for(tmp_path: Path) -> None:
    """Without a usable header the answer comes before the body, which is not kept."""
    body = b'{"a":[' + b"1," * (6 * MEGABYTE) + b"1]}"
    with running(tmp_path, PATIENT) as (alpha, _):
        for number in range(20):
            with talking(alpha.port) as talk:
                data = request("PUT", SEND, body=body)
                if number % 2:
                    talk.send(data[:1000])
                    assert talk.answer().error == (401, "M_UNAUTHORIZED")
                    assert body_bytes(alpha)["use"] == 0
                    assert talk.is_closed
                else:
                    try:
                        talk.send(data)
                        answer = talk.answer()
                    except (ssl.SSLError, OSError):
                        continue  # it was cut off, as it did not stop
                    assert answer.error == (401, "M_UNAUTHORIZED")


def test_room_for_bodies(tmp_path: Path) -> None:
    """A client that fills the room for bodies gives way to others, with a 503."""
    configuration = "[limits]\nmax_arriving_megabytes = 2\n"
    with running(tmp_path, configuration) as (alpha, _), ExitStack() as stack:
        hoards = [stack.enter_context(talking(alpha.port)) for _ in range(3)]
        for number, each in enumerate(hoards, 1):
            each.send(put(length=MEGABYTE) + b"x" * 600_000)
            until_arrived(alpha, number * 600_000)
        honest = stack.enter_context(talking(alpha.port, ELSEWHERE))
        honest.send(put({"pdus": [], "x": "y" * (MEGABYTE // 2)}))
        assert honest.answer().status == 200
        refused = hoards[-1].answer()
        assert refused.error == (503, "M_LIMIT_EXCEEDED")
        assert refused.headers["retry-after"] == "5"
        assert hoards[-1].is_closed
        bound = body_bytes(alpha)
        assert bound["limit"] == 2 * MEGABYTE
        assert bound["refusals"] != 0


def until_arrived(alpha: Endpoint, size: int) -> None:
    """Wait until so many bytes of bodies have arrived."""
    eventually(lambda: body_bytes(alpha)["use"] == size)


def body_bytes(alpha: Endpoint) -> Json:
    """The bound on the bodies of requests to the federation listener."""
    port, header = control(alpha)
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=HANGING_SECONDS)
    name, _, value = header.partition(": ")
    connection.request("GET", "/v1/bounds", headers={name: value})
    answer: dict[str, list[Json]] = json.loads(connection.getresponse().read())
    connection.close()
    [bound] = [b for b in answer["bounds"] if b["name"] == "federation_body_bytes"]
    return bound


def test_full_temporary_folder(tmp_path: Path) -> None:
    """A body that no file can take is answered with 503, and the next is served."""
    within = ("bash", "-c", 'ulimit -f 2000; exec "$@"', "limited")
    with running(tmp_path, within=within) as (alpha, _):
        with talking(alpha.port) as talk:
            talk.send(put(length=8 * MEGABYTE) + b"x" * (4 * MEGABYTE))
            answer = talk.answer()
            assert answer.error == (503, "M_LIMIT_EXCEEDED")
            assert answer.headers["retry-after"] == "5"
            assert talk.is_closed
        with talking(alpha.port) as talk:
            talk.send(put())
            assert talk.answer().status == 200


def test_too_much_for_the_control_api(tmp_path: Path) -> None:
    """A client reads its 413, whether it sent a part of its body or sends still."""
    with running(tmp_path, f"{PATIENT}max_body_bytes = 1000\n") as (alpha, _):
        port, token = control(alpha)
        target = "/v1/send/beta.test"
        with plainly(port) as talk:
            body = encode({"edus": [{"edu_type": "m.x", "content": {"a": "b" * 2000}}]})
            talk.send(request("POST", target, [token, "Host: localhost"], body))
            assert talk.answer().status == 202  # its limit is its own
        with plainly(port) as talk:
            length = f"Content-Length: {20 * MEGABYTE}"
            talk.send(request("POST", target, [token, "Host: localhost", length]))
            talk.send(b"x" * (4 * MEGABYTE))
            answer = talk.answer()
            assert answer.error == (413, "M_TOO_LARGE")
            assert talk.is_closed


def test_no_token_no_body(tmp_path: Path) -> None:
    """Without the token nothing of a body is read."""
    with running(tmp_path) as (alpha, _), plainly(control(alpha)[0]) as talk:
        head = ["Host: localhost", "Content-Length: 1000"]
        talk.send(request("POST", "/v1/send/beta.test", head))
        assert talk.answer().error == (401, "M_MISSING_TOKEN")
        assert talk.is_closed


@pytest.mark.parametrize("listener", ["federation", "control"])
def test_slow_body(tmp_path: Path, listener: str) -> None:
    """A body that takes too long is answered, and cut off two seconds later."""
    begun = time.monotonic()
    with (
        running(tmp_path, "[limits]\nrequest_seconds = 1\n") as (alpha, _),
        ExitStack() as stack,
    ):
        if listener == "federation":
            talk = stack.enter_context(talking(alpha.port))
            talk.send(put(length=1000))
        else:
            port, token = control(alpha)
            talk = stack.enter_context(plainly(port))
            head = [token, "Host: localhost", "Content-Length: 1000"]
            talk.send(request("POST", "/v1/send/beta.test", head))
        talk.send(b"x")
        answer = talk.answer()
        assert answer.error == (408, "M_UNKNOWN")

        def is_cut_off() -> bool:
            try:
                talk.send(b"x")
            except OSError:
                return True
            return False

        eventually(is_cut_off)
        # A second for the body, and two that begin when the answer is sent.
        assert time.monotonic() - begun >= 3


def test_connections_to_the_control_api(tmp_path: Path) -> None:
    """Silent connections give way to commands; their number has a limit."""
    configuration = ""
    with running(tmp_path, configuration) as (alpha, _), ExitStack() as stack:
        port, token = control(alpha)
        asking = request("GET", "/v1/peers", [token, "Host: localhost"])
        silent = [stack.enter_context(plainly(port)) for _ in range(99)]
        last = stack.enter_context(plainly(port))
        last.send(asking)
        assert last.answer().status == 200  # those before it were taken before it
        time.sleep(2.5)  # until they count as silent
        for number in range(2):
            talk = stack.enter_context(plainly(port))
            talk.send(asking)
            assert talk.answer().status == 200
            with pytest.raises((EOFError, ConnectionError)):
                silent[number].answer()


def test_connections_to_the_federation(tmp_path: Path) -> None:
    """A crowd of silent connections of one address keeps no other address out."""
    configuration = "[limits]\nmax_connections = 20\n"
    with running(tmp_path, configuration) as (alpha, _), ExitStack() as stack:
        silent = [stack.enter_context(talking(alpha.port)) for _ in range(20)]
        time.sleep(2.5)  # until they count as silent
        for number in range(3):
            honest = stack.enter_context(talking(alpha.port, f"127.0.0.{number + 2}"))
            honest.send(put())
            assert honest.answer().status == 200
            with pytest.raises((EOFError, OSError)):
                silent[number].answer()


def kilobytes(process_id: int) -> int:
    """The memory that a process occupies."""
    [line] = re.findall(
        r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text()
    )
    return int(line)


def test_memory_of_connections(tmp_path: Path) -> None:
    """A connection takes little memory, and little more after a body has come on it.

    TLS would keep a buffer for each direction, and one as large as what came at once.
    """
    with running(tmp_path) as (alpha, process_id):
        with talking(alpha.port) as talk:  # what is made once
            talk.send(put())
            assert talk.answer().status == 200
        with ExitStack() as stack:
            before = kilobytes(process_id)
            talks = [
                stack.enter_context(talking(alpha.port, f"127.0.{n}.1"))
                for n in range(200)
            ]
            idle = (kilobytes(process_id) - before) / 200
            assert idle < 42  # 28, or 52 with buffers
            for talk in talks:
                talk.send(put({"pdus": [], "x": "y" * 60_000}))
            for talk in talks:
                assert talk.answer().status in {200, 429}  # so many of one origin
            with_bodies = (kilobytes(process_id) - before) / 200
            assert with_bodies < 90  # 54, or 120 with the buffer of the body
